"""A real worker process: it seals what is waiting, dies at bad moments, and nothing is lost or done twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import psycopg
import redis

from config import Principal
from integrations.broker import Publisher
from models.engine import Databases
from services.audit_drain import drain
from tests.audit.trail import as_superuser, sealed, write_events
from tests.tasks.conftest import SCHEDULER, WORKER, Process, wait_for

Start = Callable[[tuple[str, ...]], Process]


def sealed_ids(superuser: str) -> list[uuid.UUID]:
    """In the order of the sequence, which is checked to have no gap."""
    trail = sealed(superuser)
    assert [row["sequence"] for row in trail] == list(range(1, len(trail) + 1))
    return [row["id"] for row in trail]


def test_invariant_3_a_worker_killed_in_the_middle_of_a_batch_loses_and_repeats_nothing(
    start: Start, work_databases: Databases, superuser: str, stoppable_url: str
) -> None:
    """kill -9 after the first statements and before the commit, in the second batch; then the work goes on."""
    written = write_events(work_databases, 3_000)
    with work_databases.session(Principal.WORKER) as session:
        assert drain(session, limit=1_000).count == 1_000
    publisher = Publisher(stoppable_url)
    with psycopg.connect(superuser) as blocker:
        # The worker's insert into the trail waits for this lock: it is in the middle of its transaction.
        blocker.execute("LOCK TABLE audit_trail IN SHARE MODE")
        worker = start(WORKER)
        publisher.send("audit.drain")
        wait_for(lambda: waiting_inserts(superuser) == 1)
        worker.kill()
    wait_for(lambda: waiting_inserts(superuser) == 0)
    assert sorted([*sealed_ids(superuser), *waiting(superuser)]) == sorted(written)
    worker = start(WORKER)
    publisher.send("audit.drain")
    wait_for(lambda: not waiting(superuser))
    assert sealed_ids(superuser) == sorted(written)
    assert worker.stop() == 0


def waiting(superuser: str) -> set[uuid.UUID]:
    with as_superuser(superuser) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM audit_outbox")}


def waiting_inserts(superuser: str) -> int:
    """Sessions of the worker that wait to insert into the trail."""
    with as_superuser(superuser) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO audit_trail%' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_invariant_3_a_killed_child_is_replaced_and_its_work_done(
    start: Start, work_databases: Databases, superuser: str, stoppable_url: str
) -> None:
    """Only the process at work dies: its worker gives the message to the next one by itself."""
    worker = start(WORKER)
    wait_for(lambda: len(worker.children) == 1)
    written = write_events(work_databases, 50)
    with psycopg.connect(superuser) as blocker:
        blocker.execute("LOCK TABLE audit_trail IN SHARE MODE")
        Publisher(stoppable_url).send("audit.drain")
        wait_for(lambda: waiting_inserts(superuser) == 1)
        worker.children[0].kill()
    wait_for(lambda: not waiting(superuser))
    assert sealed_ids(superuser) == sorted(written)


def test_invariant_3_flushing_redis_loses_nothing(
    start: Start, work_databases: Databases, superuser: str, broker: redis.Redis
) -> None:
    """Nobody publishes: the scheduler finds the events and wakes the worker, before and after the flush."""
    start(WORKER)
    start(SCHEDULER)
    first = write_events(work_databases, 3)

    def sealed() -> list[uuid.UUID]:
        """Of these events, in their order; jobs whose time has come write others."""
        return [each for each in sealed_ids(superuser) if each in written]

    written = list(first)
    wait_for(lambda: sealed() == written)
    broker.flushall()
    written += write_events(work_databases, 3)
    wait_for(lambda: sealed() == written)


def test_a_worker_takes_work_again_when_both_servers_were_away(
    start: Start, work_databases: Databases, superuser: str, stoppable_url: str, broker: redis.Redis
) -> None:
    """PostgreSQL drops its connections, Redis every client's: the worker comes back by itself."""
    worker = start(WORKER)
    publisher = Publisher(stoppable_url)
    publisher.send("audit.drain")
    wait_for(lambda: broker.llen("audit") == 0)
    with as_superuser(superuser) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    broker.client_kill_filter(_type="normal", skipme=True)
    work_databases.dispose()
    written = write_events(work_databases, 5)

    def is_sealed() -> bool:
        publisher.kick("audit.drain")  # as the scheduler would, once more after a failed attempt
        return sealed_ids(superuser) == written

    wait_for(is_sealed)
    assert worker.children


def test_a_timed_task_writes_down_how_it_ended(start: Start, superuser: str, stoppable_url: str) -> None:
    start(WORKER)
    tasks = ["audit.partitions", "cleanup.expired"]
    for task in tasks:
        Publisher(stoppable_url).send(task, slot="2026-11-24T03:17:00+00:00")

    def ended() -> list[tuple[object, ...]]:
        with as_superuser(superuser) as connection:
            statement = "SELECT job, outcome, rows >= 0, finished_at IS NOT NULL FROM job_runs ORDER BY job"
            return connection.execute(statement).fetchall()

    wait_for(lambda: len(ended()) == len(tasks))
    assert ended() == [(task, "success", True, True) for task in tasks]
