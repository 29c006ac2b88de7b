"""An installation as compose.prod.yml runs it, of plain processes: each with the environment and secrets of its own,
on a PostgreSQL and two Redis that are its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from config import Settings, load_settings
from embedded.process import spawn, stop, wait_until
from embedded.redis import NEVER_AGAIN
from embedded.wheel_programs import redis_program
from tests.cluster import Server, programs_here
from tests.deploy.composed import ROOT, Bootstrapped, Project
from tests.installation import free_port

SECONDS = 90.0
DATABASE = re.compile(r"@postgres:5432/sigilo\?\S+")
DRILLS = re.compile(r"@postgres-drills:5432/postgres\?\S+")


def options_of_drills(project: Project) -> list[str]:
    """What the server for drills is started with, but for the file that only its image has."""
    program, flag, file, *options = project.services["postgres-drills"]["command"]
    assert (program, flag) == ("postgres", "-c") and file.startswith("config_file=")
    return [str(each) for each in options]


class Installation:
    """Servers as compose runs them, but for TLS: deploy/redis' files, and accounts as the secrets say."""

    def __init__(self, folder: Path, server: Server, project: Project) -> None:
        self.bootstrapped = Bootstrapped(folder)
        self.bootstrapped.make()
        self.folder, self.server, self.project = folder, server, project
        self.drills: Server | None = None
        self.ports = {"redis": free_port(), "redis-cache": free_port(), "web-blue": free_port()}

    def secret(self, name: str) -> Path:
        """The file as it is mounted, with this machine's addresses."""
        text = (self.bootstrapped.secrets / name).read_text()
        text = DATABASE.sub(f"@127.0.0.1:{self.server.port}/sigilo", text)
        if self.drills is not None:
            text = DRILLS.sub(f"@127.0.0.1:{self.drills.port}/postgres", text)
        for host in ("redis-cache", "redis"):
            text = text.replace(f"@{host}:6379", f"@127.0.0.1:{self.ports[host]}")
        path = self.folder / "mounted" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    def url(self, name: str) -> str:
        return self.secret(name).read_text().strip()

    def environment_of(self, name: str) -> dict[str, str]:
        home = self.folder / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        (self.folder / "static").mkdir(exist_ok=True)
        found = self.project.environment_of(name) | {
            "PATH": os.environ["PATH"], "SIGILO_HOME": str(home), "METRICS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "", "WORKER_METRICS_PORT": "0", "SCHEDULER_METRICS_PORT": "0",
            "STATIC_FOLDER": str(self.folder / "static") if name.startswith("web") else "",
            "POSTGRES_PROGRAMS": str(programs_here().folder),
        }  # fmt: skip
        for path, source in self.project.secrets_of(name).items():
            setting = path.removeprefix("/run/secrets/")
            found[f"{setting.upper()}_FILE"] = str(self.secret(Path(source).name))
        return {key: value for key, value in found.items() if value}

    def preparing(self) -> Settings:
        """What `sigilo db prepare` reads in its container."""
        given = {
            path.removeprefix("/run/secrets/"): self.url(Path(source).name)
            for path, source in self.project.secrets_of("prepare").items() if not path.endswith("_ca")
        }  # fmt: skip
        return load_settings(**given)

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``docker compose run NAME ARGUMENTS``; without any, the service's own."""
        given = arguments or tuple(self.project.services[name]["command"])
        return subprocess.run(
            [sys.executable, "-m", "cli", *given], cwd=ROOT, env=self.environment_of(name), capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[None]:
        command = [sys.executable, "-m", "cli", *(arguments or self.project.services[name]["command"])]
        log = self.folder / f"{name}.log"
        process = spawn(command, environment=self.environment_of(name), folder=ROOT, log=log)
        try:
            yield
        finally:
            stop(process, ())
            sys.stdout.write(log.read_text()[-2_000:])

    @contextmanager
    def redis_server(self, name: str, file: str, accounts: str) -> Iterator[None]:
        folder = self.folder / name
        folder.mkdir()
        text = (ROOT / "deploy" / "redis" / file).read_text()
        for before, after in (
            ("dir /data", f"dir {folder}"), ("port 6379", f"port {self.ports[name]}"),
            ("bind * -::*", "bind 127.0.0.1"), ("/run/secrets/redis_acl", str(self.bootstrapped.secrets / accounts)),
        ):  # fmt: skip
            assert before in text
            text = text.replace(before, after)
        (folder / "redis.conf").write_text(text)
        command = [str(redis_program()), str(folder / "redis.conf")]
        process = spawn(command, environment={"PATH": "/usr/bin:/bin"}, folder=folder, log=folder / "log")
        try:
            health = redis.Redis(port=self.ports[name], username="health", password="any", retry=NEVER_AGAIN)
            assert wait_until(lambda: pings(health), SECONDS), (folder / "log").read_text()
            yield
        finally:
            stop(process, ())


def pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.RedisError:
        return False
