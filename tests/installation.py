"""A whole installation, as ``sigilo run`` starts it: real servers and processes on a free port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg

from embedded.home import Home
from embedded.process import wait_until
from embedded.system_account import remove_system_folder
from tests.telling import telling

ROOT = Path(__file__).resolve().parent.parent
RUN = [sys.executable, "-m", "cli", "run"]
# Words of the command lines of what is started after the web server answers.
WORKERS = ("--queues audit", "--queues mail,access", "--exclude-queues audit", "scheduler")
START_SECONDS = 120.0  # beside other tests; how soon it is there when alone is a test of its own
STOP_SECONDS = 40.0
# What a developer's shell may hold and a start of ours must not take over.
FOREIGN = re.compile(r"DATABASE_URL|REDIS_URL|SECRET_KEY|FIELD_KEY|AUDIT_SIGNING_KEY|SIGILO_|PUBLIC_URL|OTEL_|COV")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Installation:
    """One SIGILO_HOME and port, and the ``sigilo run`` started on them last."""

    def __init__(self, folder: Path, *, start_seconds: float = START_SECONDS) -> None:
        self.home = Home(folder / "var")
        self.port = free_port()
        self._start_seconds = start_seconds
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        return inherited | {"SIGILO_HOME": str(self.home.path), "PORT": str(self.port)}

    def sigilo(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in another terminal."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments], cwd=ROOT, env=self.environment | variables,
            capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip

    def begin(self, command: list[str], **variables: str) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment | variables, stdout=output, stderr=subprocess.STDOUT
            )

    def start(self, command: list[str] | None = None, **variables: str) -> None:
        """Begin, and wait until it says that it is ready."""
        self.begin(command or RUN, **variables)
        assert wait_until(lambda: self.has_ended or "Ctrl-C stops" in self.said, self._start_seconds), self.said
        assert not self.has_ended, self.said
        assert wait_until(lambda: all(map(self.has_child, WORKERS)), self._start_seconds), self.said

    @property
    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def tree(self) -> list[psutil.Process]:
        """Everything that runs for this installation, the supervisor first."""
        parent = psutil.Process(self.running.pid)
        return [parent, *parent.children(recursive=True)]

    def child(self, words: str) -> psutil.Process:
        """The supervisor's own child whose command line holds ``words``."""
        supervisor = next(process for process in self.tree() if process.cmdline()[-1:] == ["run"])
        for process in supervisor.children():
            if words in " ".join(process.cmdline()):
                return process
        raise LookupError(words)

    def has_child(self, words: str, *, other_than: int = 0) -> bool:
        try:
            found: int = self.child(words).pid
        except (LookupError, StopIteration, psutil.NoSuchProcess):
            return False
        return found != other_than

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.running.send_signal(number)
        return self.running.wait(STOP_SECONDS)

    def query(self, statement: str) -> tuple[object, ...] | None:
        url = self.sigilo("db", "url").stdout.strip()
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone() if cursor.description else None

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_SECONDS)
        remove_system_folder(self.home.postgres)
        told = list(telling(self.said)) if self.output.exists() else []
        assert not told
