"""A whole clinic that Prometheus watches: ``sigilo run`` behind the proxy, over a PostgreSQL with archive, standby and
statistics of statements, and a model."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from embedded.process import wait_until
from migrations.roles import ensure_database, ensure_ownership, ensure_roles
from tests.ai.pipeline.clinic import quoting
from tests.cluster import LOGIN, Programs, Server, server_folders
from tests.deploy.proxy import Proxy
from tests.installation import Installation
from tests.integrations.fake_ollama import FakeOllama, fake_ollama
from tests.observability.fake_cadvisor import fake_cadvisor
from tests.observability.monitoring import OBSERVABILITY, Prometheus, exporters, prometheus

DATABASE = "sigilo"
MONITOR = "sigilo_monitor"
HBA = f"""
local all {LOGIN} scram-sha-256
host all {LOGIN},{MONITOR} 127.0.0.1/32 scram-sha-256
host replication {LOGIN} 127.0.0.1/32 scram-sha-256
"""
STATEMENTS = "shared_preload_libraries = 'pg_stat_statements'\n"
ARCHIVES = "archive_mode = on\narchive_command = 'true'\n"
FORGETFUL = "fsync = off\nfull_page_writes = off\n"
ROLE = OBSERVABILITY / "postgres-exporter" / "role.sql"
START_SECONDS = 180.0  # everything begins at once, beside other tests
WATCHED_SECONDS = 60.0
SMALL = {"SIGILO_DEMO_PATIENTS": "12", "SIGILO_DEMO_RECORDS": "60"}
OWN_PORTS = (20_000, 30_000)
WORKERS = 4  # of the trail, of mail and accesses, of everything else, of the model


@dataclass(frozen=True)
class WatchedClinic:
    installation: Installation
    database_url: str
    prometheus: Prometheus
    proxy: Proxy
    model: FakeOllama

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.installation.port}"


@contextmanager
def watched_clinic(folder: Path, programs: Programs) -> Iterator[WatchedClinic]:
    """Everything is up and has been asked once when the block begins. ``programs`` are PostgreSQL's, which brings
    pg_stat_statements."""
    with ExitStack() as stack:
        folders = stack.enter_context(server_folders(programs.account, "primary", "standby"))
        server, standby = (Server(programs, each) for each in folders)
        stack.callback(server.end)
        server.make(STATEMENTS + ARCHIVES + FORGETFUL, HBA)
        server.start()
        _prepare(server)
        stack.callback(standby.end)
        standby.follow(server)
        standby.start()
        model = stack.enter_context(fake_ollama())
        model.answer_with(quoting)
        installation = Installation(folder, start_seconds=START_SECONDS)
        stack.callback(_end_at_once, installation)
        *workers, scheduler = free_ports(WORKERS + 1)
        url = server.url(DATABASE)
        installation.start(
            None, DATABASE_URL=url, OLLAMA_URL=model.url, POSTGRES_PROGRAMS=str(programs.folder),
            CHECKPOINT_SINKS=f"file://{folder / 'checkpoints'}", RATE_LIMIT_ANONYMOUS="1000000/minute",
            WORKER_METRICS_PORT=str(workers[0]), SCHEDULER_METRICS_PORT=str(scheduler), **SMALL,
        )  # fmt: skip
        proxy = stack.enter_context(_in_front_of(installation, folder))
        targets = stack.enter_context(
            exporters(
                folder, database_url=_as_monitor(server, DATABASE), statements_url=_as_monitor(server, "postgres"),
                redis_url=redis_url(installation), known=proxy.authority,
            )
        )  # fmt: skip
        targets |= {
            "sigilo-web": [f"127.0.0.1:{installation.port}"],
            "sigilo-worker": [f"127.0.0.1:{port}" for port in workers],
            "sigilo-scheduler": [f"127.0.0.1:{scheduler}"],
            "cadvisor": [stack.enter_context(fake_cadvisor())],
            "caddy": [proxy.inside.removeprefix("http://")],
        }
        watching = stack.enter_context(prometheus(folder, targets, public=proxy.url))
        assert wait_until(lambda: not watching.targets_away(), WATCHED_SECONDS), watching.targets_away()
        yield WatchedClinic(installation, url, watching, proxy, model)


@contextmanager
def _in_front_of(installation: Installation, folder: Path) -> Iterator[Proxy]:
    """The proxy of production. Both of its colours are the one web process that there is, and blue serves."""
    own = folder / "proxy"
    own.mkdir()
    proxy = Proxy(own, dict.fromkeys(("blue", "green"), installation.port))
    (proxy.state / "blue").touch()
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()


def redis_url(installation: Installation) -> str:
    return (installation.home.secrets / "redis_url").read_text().strip()


def _end_at_once(installation: Installation) -> None:
    """Nothing of it is needed any more, and its processes would end one after the other, in good order."""
    if not installation.has_ended:
        supervisor, *others = installation.tree()
        supervisor.terminate()
        for process in others:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    installation.remove()


def free_ports(count: int) -> list[int]:
    """``count`` ports in a row that nobody listens on; none of those that the kernel gives away, for it takes a while
    until somebody listens there."""
    while True:
        first = random.randrange(*OWN_PORTS)
        found = list(range(first, first + count))
        if all(map(_is_free, found)):
            return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _prepare(server: Server) -> None:
    with server.connect() as connection:
        ensure_roles(connection)
        ensure_database(connection, DATABASE)
    with server.connect(DATABASE) as connection:
        ensure_ownership(connection)
        connection.execute(ROLE.read_text())
        connection.execute(f"ALTER ROLE {MONITOR} PASSWORD '{MONITOR}'")
    with server.connect() as connection:
        # As deploy/postgres/first-start does: in the database of nobody, for a dump of the clinic's would name it.
        connection.execute("CREATE EXTENSION pg_stat_statements")


def _as_monitor(server: Server, database: str) -> str:
    return f"postgresql://{MONITOR}:{MONITOR}@127.0.0.1:{server.port}/{database}?sslmode=disable"
