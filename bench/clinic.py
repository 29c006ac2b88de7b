"""A whole Sigilo of the benchmark's own: servers, a seeded clinic, web, worker and scheduler, and its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from embedded.home import Home
from embedded.postgres import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
PLENTY = "100000000/minute"
SIGILO = (sys.executable, "-m", "cli")  # of this clone, whichever one is installed


@dataclass(frozen=True)
class Clinic:
    """A running installation. ``tokens`` by demo login; ``superuser_url`` for looking into the database."""

    url: str
    home: Path
    tokens: dict[str, str]
    superuser_url: str
    pid: int  # of `sigilo run`, whose children all else is

    def outbox(self) -> int:
        """Events not sealed yet."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            row = connection.execute("SELECT count(*) FROM audit_outbox").fetchone()
        return row[0] if row else 0

    def sealed(self) -> int:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            row = connection.execute("SELECT coalesce(max(sequence), 0) FROM audit_trail").fetchone()
        return row[0] if row else 0


def sigilo(home: Path, *arguments: str) -> str:
    """Run one sigilo command against the installation in ``home``; gives its standard output."""
    done = subprocess.run(
        [*SIGILO, *arguments],
        env={**os.environ, "SIGILO_HOME": str(home)}, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@contextmanager
def clinic(*, patients: int, records: int, app: str, **variables: str) -> Iterator[Clinic]:
    """`sigilo run` on a free port with ``app`` as the web application, seeded and warm; stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="sigilo-bench-") as folder:
        home = Path(folder)
        environment = {
            **os.environ, "SIGILO_HOME": str(home), "PORT": str(port), "SIGILO_WEB_APP": app,
            "SIGILO_DEMO_PATIENTS": str(patients), "SIGILO_DEMO_RECORDS": str(records),
            "SIGILO_STOP_WITH_PARENT": "1", "RATE_LIMIT_PAGES": PLENTY, **variables,
        }  # fmt: skip
        log = (home / "run.log").open("wb")
        process = subprocess.Popen(
            [*SIGILO, "run"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_ready(process, url, home)
            credentials = json.loads((home / "demo-credentials.json").read_text())
            tokens = {
                name: sigilo(home, "token", "create", "--email", login["email"], "--quota", PLENTY)
                for name, login in credentials.items()
            }
            yield Clinic(url, home, tokens, sigilo(home, "db", "url", "--role", "superuser"), process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
            log.close()
            PostgresServer(Home(home)).destroy()  # what lies outside the folder when started as root


def _wait_ready(process: subprocess.Popen[bytes], url: str, home: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sigilo run did not get ready:\n{(home / 'run.log').read_text()[-2000:]}") from None
            time.sleep(0.1)
