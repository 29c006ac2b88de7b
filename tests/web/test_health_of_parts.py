"""One part after the other goes away under a running installation, and each of the three answers says what it should.

Orchestrators restart what /livez does not answer for, and send nobody to what /readyz refuses; operators read
/api/health. An answer that is too gloomy takes a clinic off the network, one that is too bright keeps it broken.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg import sql

from config import Settings
from embedded.granian_server import DrainingServer
from embedded.home import Home
from embedded.redis import RedisServer
from embedded.serving import audit_worker_command, scheduler_command, worker_command
from integrations.broker import QUEUES
from models.engine import Databases
from tests.conftest import make_settings
from tests.factories.backup import forget_backups, make_backup
from tests.factories.cast import Cast
from tests.observability.test_one_trace import environment
from tests.servers import DatabaseServer
from tests.tasks.conftest import Process, wait_for
from tests.web.live_server import LiveServer, live_server
from web.health import REVISION

AUDIT, SCHEDULER = (tuple(command[1:]) for command in (audit_worker_command(), scheduler_command()))
OTHERS = tuple(worker_command(processes=0, without=("audit",))[1:])
EVERYTHING = {"database": "ok", "redis": "ok", "worker": "ok", "trail": "ok", "scheduler": "ok", "backups": "ok"}
Answer = tuple[int, str, dict[str, str]]


@dataclass
class Clinic:
    """The processes of one installation, and the servers below them."""

    web: LiveServer
    variables: dict[str, str]
    databases: Databases
    maintenance: str
    database: str
    broker: RedisServer
    processes: dict[tuple[str, ...], Process]

    def start(self, command: tuple[str, ...]) -> None:
        self.processes[command] = Process(command, self.variables)

    def ask(self, path: str) -> Answer:
        """Status code, overall status, and the status of each part."""
        code, _, body = self.web.get(path)
        said = json.loads(body)
        return code, said["status"], {name: part["status"] for name, part in said.get("dependencies", {}).items()}

    def notes(self) -> dict[str, str]:
        said = json.loads(self.web.get("/api/health")[2])["dependencies"]
        return {name: part.get("note", "") for name, part in said.items()}

    def until(self, *, live: int = 200, ready: tuple[int, str], health: tuple[int, str], **parts: str) -> None:
        """Wait until the three answers are these; of the parts of /api/health that are not named, all is well."""
        wanted = (live, ready, (*health, EVERYTHING | parts))
        deadline = time.monotonic() + 60
        while (found := (self.ask("/livez")[0], self.ask("/readyz")[:2], self.ask("/api/health"))) != wanted:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def is_well(self) -> None:
        self.until(ready=(200, "ok"), health=(200, "ok"))

    @contextmanager
    def superuser(self) -> Iterator[psycopg.Connection[Any]]:
        """In another database of the same server."""
        with psycopg.connect(self.maintenance, autocommit=True) as connection:
            yield connection

    def signs_are_old(self, *queues: str) -> None:
        """As if the quarter of a minute had passed that the sign of a worker is kept: one that lives gives another."""
        with redis.Redis.from_url(self.broker.url) as client:
            client.delete(*(f"sigilo:serves:{queue}" for queue in queues))


@pytest.fixture(scope="module")
def clinic(server: DatabaseServer, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("health")
    name, broker = server.create(template=template), RedisServer(Home(folder / "redis"), durable=False)
    broker.start()
    settings = make_settings(server.urls(name), broker.url, folder)
    databases = Databases(server.urls(name), pool_size=2)
    make_backup(databases)
    # A clinic that has a model, which is away all the time.
    variables = {**os.environ, **environment(settings), "OLLAMA_URL": "http://127.0.0.1:9"}
    # Every slot is taken already: no job is wanted here, least of all a backup.
    with psycopg.connect(server.superuser_url(name), autocommit=True) as connection:
        connection.execute("REVOKE INSERT, UPDATE ON job_runs FROM sigilo_worker")
    try:
        with live_server(settings, folder, workers=1, OLLAMA_URL="http://127.0.0.1:9") as web:
            made = Clinic(web, variables, databases, server.maintenance_url, name, broker, {})
            for command in (AUDIT, OTHERS, SCHEDULER):
                made.start(command)
            yield made
            for process in made.processes.values():
                process.kill()
    finally:
        databases.dispose()
        broker.destroy()
        server.drop(name)


@pytest.fixture
def well(clinic: Clinic) -> Clinic:
    """All of it, again, after what the test before took away and gave back."""
    clinic.is_well()
    return clinic


def test_everything_works_without_the_model_and_readiness_is_kept_for_a_moment(well: Clinic) -> None:
    asked = time.monotonic()
    first, second = (json.loads(well.web.get("/readyz")[2]) for _ in range(2))
    assert first == second or time.monotonic() - asked > 0.9, "the very same measurement"
    assert set(first["dependencies"]) == {"database", "redis"}
    assert well.ask("/api/health")[2] == EVERYTHING
    # An hour, unless the clinic has taken one of its own by now.
    assert re.search(r"\b[01]\.\d h old", well.notes()["backups"])


def test_without_postgresql_nothing_is_ready_and_the_process_lives(well: Clinic) -> None:
    database = sql.Identifier(well.database)
    with well.superuser() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (well.database,)
        )
        well.until(
            ready=(503, "down"), health=(503, "down"),
            database="down", trail="unknown", scheduler="unknown", backups="unknown",
        )  # fmt: skip
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))


def test_without_redis_it_is_ready_and_stricter(well: Clinic) -> None:
    well.broker.stop()
    well.until(ready=(200, "degraded"), health=(503, "down"), redis="down", worker="unknown")
    well.broker.start()


def test_another_schema_is_not_ready(well: Clinic) -> None:
    with psycopg.connect(well.maintenance, autocommit=True, dbname=well.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        well.until(ready=(503, "down"), health=(503, "down"), database="down")
        assert "sigilo db upgrade" in well.notes()["database"]
        connection.execute("UPDATE alembic_version SET version_num = %s", (REVISION,))


def test_without_the_trails_worker_health_is_down_at_once_and_the_trail_when_events_wait(well: Clinic) -> None:
    well.processes[AUDIT].hang()
    well.signs_are_old("audit")
    well.until(ready=(200, "ok"), health=(503, "down"), worker="down")
    assert well.notes()["worker"] == "no worker serves audit"
    with psycopg.connect(well.maintenance, autocommit=True, dbname=well.database) as connection:
        for first, seconds, status in (("2", 30, "degraded"), ("1", 120, "down")):  # ids are in order of time
            connection.execute(
                "INSERT INTO audit_outbox (id, occurred_at, action, outcome)"
                " VALUES (%s, now() - make_interval(secs => %s), 'test', 'success')",
                (f"{first}0000000-0000-7000-8000-000000000000", seconds),
            )
            well.until(ready=(200, "ok"), health=(503, "down"), worker="down", trail=status)
    well.processes[AUDIT].go_on()  # and seals them


def test_without_the_other_workers_work_waits_and_nobody_is_sent_elsewhere(well: Clinic) -> None:
    well.processes[OTHERS].hang()
    well.signs_are_old(*QUEUES)
    well.until(ready=(200, "ok"), health=(200, "degraded"), worker="degraded")
    assert well.notes()["worker"] == f"no worker serves {', '.join(each for each in QUEUES if each != 'audit')}"
    well.processes[OTHERS].go_on()


def test_a_worker_that_lives_gives_its_sign_again(well: Clinic) -> None:
    """A Redis that was flushed has forgotten everybody, for as long as it takes until the next sign."""
    well.signs_are_old(*QUEUES)


@pytest.mark.parametrize("values", [{"age": 30}, {"failed_drill": "the restore did not end"}])
def test_backups_that_are_late_or_fail_are_said_and_nobody_is_sent_elsewhere(
    well: Clinic, values: dict[str, Any]
) -> None:
    forget_backups(well.databases)
    at = datetime.now(UTC) - timedelta(hours=values.pop("age", 1))
    make_backup(well.databases, finished_at=at, verified_at=at, **values)
    well.until(ready=(200, "ok"), health=(200, "degraded"), backups="degraded")
    assert "look into: late" in well.notes()["backups"] or "drill-failed" in well.notes()["backups"]
    forget_backups(well.databases)
    make_backup(well.databases)


def test_that_there_is_no_backup_yet_is_said_and_nobody_is_sent_elsewhere(well: Clinic) -> None:
    forget_backups(well.databases)
    well.until(ready=(200, "ok"), health=(200, "degraded"), backups="degraded")
    make_backup(well.databases)


def test_without_a_scheduler_health_is_down(well: Clinic) -> None:
    """The last of the tests of this clinic: it is not started again."""
    well.processes.pop(SCHEDULER).kill()
    well.until(ready=(200, "ok"), health=(503, "down"), scheduler="down")


def test_a_server_that_is_told_to_end_says_so_and_answers_until_it_does(
    settings: Settings, cast: Cast, tmp_path: Path
) -> None:
    with live_server(settings, tmp_path, drain=2.0) as web:
        assert web.get("/readyz")[0] == 200
        web.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        wait_for(lambda: web.get("/readyz")[0] == 503, 5)
        assert json.loads(web.get("/readyz")[2])["status"] == "draining"
        assert web.get("/livez")[0] == 200, "ended by itself it needs no kill"
        assert web.get("/api/me", cast.doctor.headers)[0] == 200
        assert web.process.wait(20) == 0
        assert time.monotonic() - told > 1.9


def test_a_second_signal_and_ctrl_c_do_not_wait(tmp_path: Path) -> None:
    def server() -> DrainingServer:
        return DrainingServer("wsgi:app", drain=300.0, said_in=tmp_path / "draining")

    first = server()
    first.signal_handler_interrupt(signal.SIGTERM, None)
    assert (first.interrupt_signal, (tmp_path / "draining").exists()) == (False, True)
    first.signal_handler_interrupt(signal.SIGTERM, None)
    assert first.interrupt_signal
    second = server()
    second.signal_handler_interrupt(signal.SIGINT, None)
    assert second.interrupt_signal
