"""The processes of compose.prod.yml with what deploy/bootstrap made for each, on a real PostgreSQL and Redis: every
login has its own password and its own rights, and with no others all of them do their work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config import ConfigurationError, Principal, Settings, load_settings
from embedded.postgres import package_folder
from embedded.process import spawn, stop, wait_until
from embedded.redis import NEVER_AGAIN
from embedded.redis import PACKAGE as REDIS
from migrations.prepare import prepare_own_server
from tests.cluster import Server, programs_here, server_folders
from tests.deploy.composed import ROOT, Bootstrapped, Project, read
from tests.installation import free_port
from tests.observability.measured_by_exporters import exporter

SECONDS = 90.0
DATABASE = re.compile(r"@postgres:5432/sigilo\?\S+")


class Installation:
    """Servers as compose runs them, but for TLS: deploy/redis' files, and accounts as the secrets say."""

    def __init__(self, folder: Path, server: Server, project: Project) -> None:
        self.bootstrapped = Bootstrapped(folder)
        self.bootstrapped.make()
        self.folder, self.server, self.project = folder, server, project
        self.ports = {"redis": free_port(), "redis-cache": free_port(), "web-blue": free_port()}

    def secret(self, name: str) -> Path:
        """The file as it is mounted, with this machine's addresses."""
        text = (self.bootstrapped.secrets / name).read_text()
        text = DATABASE.sub(f"@127.0.0.1:{self.server.port}/sigilo", text)
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
        command = [str(package_folder(REDIS) / "bin" / "redis-server"), str(folder / "redis.conf")]
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


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    programs = programs_here()
    with server_folders(programs.account, "one") as (folder,), ExitStack() as stack:
        server = Server(programs, folder)
        server.make(hba="local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n")
        server.start()
        stack.callback(server.end)
        made = Installation(tmp_path_factory.mktemp("installation"), server, read())
        stack.enter_context(made.redis_server("redis", "broker.conf", "redis_acl"))
        stack.enter_context(made.redis_server("redis-cache", "cache.conf", "redis_cache_acl"))
        # As the image makes it the first time: the superuser with its password, the database, who looks at figures.
        password = (made.bootstrapped.secrets / "postgres_password").read_text().strip()
        with server.connect() as connection:
            connection.execute(f"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '{password}'")
            connection.execute("CREATE DATABASE sigilo TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        with server.connect("sigilo") as connection:
            connection.execute((ROOT / "observability/postgres-exporter/role.sql").read_text())
        prepared = made.run("prepare")
        assert prepared.returncode == 0, prepared.stderr
        yield made


def test_each_login_is_itself_and_nobody_else(installation: Installation) -> None:
    for principal in Principal:
        name = "database_url" if principal is Principal.ANONYMOUS else f"database_url_{principal.value}"
        with psycopg.connect(installation.url(name), autocommit=True) as connection:
            assert connection.execute("SELECT session_user").fetchone() == (principal.role,)
            for another in {*Principal} - {principal}:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SET ROLE {another.role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SET ROLE postgres")


def test_preparing_again_changes_passwords_and_nothing_else(installation: Installation) -> None:
    path = installation.bootstrapped.secrets / "database_url_staff"
    former = installation.url("database_url_staff")
    path.chmod(0o600)
    path.write_text(path.read_text().replace("sigilo_staff:", "sigilo_staff:another-"))
    psycopg.connect(former).close()
    prepare_own_server(installation.preparing())
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(former)
    psycopg.connect(installation.url("database_url_staff")).close()


def test_a_login_of_another_role_is_refused_before_anything_changes(installation: Installation) -> None:
    path = installation.bootstrapped.secrets / "database_url_backup"
    former = path.read_text()
    path.chmod(0o600)
    path.write_text((installation.bootstrapped.secrets / "database_url_staff").read_text())
    try:
        with pytest.raises(ConfigurationError, match="DATABASE_URL_BACKUP gives no password of sigilo_backup"):
            prepare_own_server(installation.preparing())
    finally:
        path.write_text(former)


def test_redis_knows_nobody_without_a_name_and_gives_each_what_it_needs(installation: Installation) -> None:
    port = installation.ports["redis"]
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=port, retry=NEVER_AGAIN).ping()
    ours: Any = redis.Redis.from_url(installation.url("redis_url"))
    assert ours.set("a", 1) and ours.eval("return redis.call('incr', KEYS[1])", 1, "a") == 2
    for refused in ("CONFIG GET *", "FLUSHALL", "ACL LIST", "SHUTDOWN", "DEBUG OBJECT a", "KEYS *"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            ours.execute_command(*refused.split())
    [password] = json.loads((installation.bootstrapped.secrets / "redis_monitor.json").read_text()).values()
    monitor: Any = redis.Redis(port=port, username="monitor", password=password)
    assert monitor.info()["maxmemory_policy"] == "noeviction"
    health = redis.Redis(port=port, username="health", password="any")
    assert health.ping()
    for client in (monitor, health):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("a")
    cache: Any = redis.Redis.from_url(installation.url("cache_url"))
    assert cache.info()["maxmemory_policy"] == "allkeys-lru" and cache.info()["aof_enabled"] == 0
    elsewhere = redis.Redis(
        port=installation.ports["redis-cache"], username="monitor", password=password, retry=NEVER_AGAIN
    )
    with pytest.raises(redis.exceptions.AuthenticationError):
        elsewhere.ping()


def test_exporters_come_in_with_their_own_logins(installation: Installation) -> None:
    [password] = json.loads((installation.bootstrapped.secrets / "redis_monitor.json").read_text()).values()
    environment = {
        "REDIS_ADDR": f"redis://127.0.0.1:{installation.ports['redis']}", "REDIS_USER": "monitor",
        "REDIS_PASSWORD": password,
    }  # fmt: skip
    with exporter("prometheus-redis-exporter", environment=environment) as names:
        assert {"redis_memory_used_bytes", "redis_connected_clients"} <= names


def test_processes_work_with_the_rights_that_each_has(installation: Installation) -> None:
    """One of each kind, with its own files: a person is made, the event is sealed, and all that they need answers."""
    blue = installation.ports["web-blue"]
    with ExitStack() as stack:
        stack.enter_context(installation.running("web-blue", "web", "--port", str(blue), "--workers", "1"))
        for name in ("worker-audit", "scheduler"):
            stack.enter_context(installation.running(name))
        ana = ("--email", "ana@clinica.br", "--name", "Ana", "--role", "ADMIN")
        made = installation.run("tools", "user", "create", *ana)
        assert made.returncode == 0, made.stderr
        parts = ("database", "redis", "trail", "scheduler")
        assert wait_until(lambda: all(status(blue, part) == "ok" for part in parts), SECONDS), dependencies(blue)
        # Of the other queues nobody takes care here.
        assert wait_until(lambda: "audit" not in dependencies(blue)["worker"].get("note", ""), SECONDS)
        auditor = installation.url("database_url_auditor")
        with psycopg.connect(auditor, autocommit=True) as connection:
            sealed = "SELECT count(*) > 0 FROM audit_trail"
            assert wait_until(lambda: connection.execute(sealed).fetchone() == (True,), SECONDS)


def status(port: int, part: str) -> str:
    return dependencies(port).get(part, {}).get("status", "")


def dependencies(port: int) -> dict[str, dict[str, str]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5) as answer:
            found: dict[str, dict[str, str]] = json.load(answer)["dependencies"]
            return found
    except urllib.error.HTTPError as error:
        return dict(json.load(error)["dependencies"])
    except OSError:
        return {}
