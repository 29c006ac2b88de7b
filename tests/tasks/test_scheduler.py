"""The clock: one leads, slots are done once, what was missed is caught up, and servers may go away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from config import Principal, Settings
from embedded.redis import RedisServer
from models.advisory_locks import SCHEDULER as LEADS
from models.engine import Databases
from services.job_run import claim_lost, claim_slot, finish_run
from services.job_schedule import TimedJob
from tasks.schedule import WATCHES, Watch
from tasks.scheduler import Scheduler
from tests.audit.trail import as_superuser, write_events
from tests.observability.collector import collecting, tracing_to
from tests.tasks.conftest import SCHEDULER, Process, wait_for

NOON = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
HOURLY = TimedJob("cleanup.expired", "17 * * * *", lost_after=timedelta(hours=1))
HELD = """
    locktype = 'advisory' AND granted AND objid = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
DRAIN = Watch("audit.drain", "EXISTS (SELECT FROM audit_outbox)", seconds=0.1)


def messages(broker: redis.Redis, queue: str = "default") -> list[tuple[str, object]]:
    """(task, slot) of what waits in ``queue``, oldest first."""
    found = []
    for message in reversed(broker.lrange(queue, 0, -1)):  # type: ignore[arg-type]
        headers = json.loads(message)["headers"]
        found.append((headers["task"], headers["kwargsrepr"]))
    return found


@contextmanager
def running(
    settings: Settings, at: datetime = NOON, jobs: tuple[TimedJob, ...] = (HOURLY,), watches: Sequence[Watch] = (DRAIN,)
) -> Iterator[Scheduler]:
    scheduler = Scheduler(settings, jobs=jobs, watches=watches, now=lambda: at)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()
        thread.join(15)
        assert not thread.is_alive()


def runs(superuser: str) -> list[tuple[object, ...]]:
    with as_superuser(superuser) as connection:
        return connection.execute("SELECT job, slot FROM job_runs ORDER BY slot").fetchall()


def schedulers(superuser: str) -> int:
    """Processes that lead or stand by."""
    with as_superuser(superuser) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'sigilo-scheduler'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def leaders(superuser: str) -> int:
    with as_superuser(superuser) as connection:
        row = connection.execute(f"SELECT count(*) FROM pg_locks WHERE {HELD}", (LEADS,)).fetchone()
    assert row is not None
    return int(row[0])


def test_a_missed_slot_is_caught_up_once_at_the_start(
    work_settings: Settings, broker: redis.Redis, superuser: str
) -> None:
    """However many slots were missed and however often a scheduler starts, the latest is done, once."""
    for at in (NOON, NOON, NOON + timedelta(hours=5)):
        with running(work_settings, at):
            wait_for(lambda: leaders(superuser) == 1)
        assert leaders(superuser) == 0
    slots = [datetime(2026, 11, 24, hour, 17, tzinfo=UTC) for hour in (11, 16)]
    assert runs(superuser) == [("cleanup.expired", slot) for slot in slots]
    assert messages(broker) == [("cleanup.expired", f"{{'slot': '{slot.isoformat()}'}}") for slot in slots]


def test_of_two_schedulers_one_leads_and_starts_each_slot(
    work_settings: Settings, broker: redis.Redis, superuser: str
) -> None:
    with running(work_settings), running(work_settings):
        wait_for(lambda: len(messages(broker)) == 1)
        assert leaders(superuser) == 1
    assert len(runs(superuser)) == 1
    assert len(messages(broker)) == 1


def test_a_slot_begins_a_trace_that_its_task_goes_on_with(work_settings: Settings, broker: redis.Redis) -> None:
    with collecting() as collector, tracing_to(collector), running(work_settings):
        wait_for(lambda: len(messages(broker)) == 1)
    (root,) = [each for each in collector.spans if not each.parent]
    (sent,) = [each for each in collector.spans if each.parent == root.id]
    assert (root.name, sent.name) == ("start cleanup.expired", "send cleanup.expired")
    headers = json.loads(broker.lindex("default", 0))["headers"]  # type: ignore[arg-type]
    assert headers["traceparent"].startswith(f"00-{root.trace}-{sent.id}-")


def test_work_that_waits_is_found_without_being_told(
    work_settings: Settings, work_databases: Databases, broker: redis.Redis
) -> None:
    with running(work_settings, jobs=()):
        write_events(work_databases, 1)
        wait_for(lambda: ("audit.drain", "{}") in messages(broker, "audit"))


@pytest.mark.parametrize("task", ["mail.alerts", "mail.digest", "mail.backups"])
def test_nobody_is_woken_for_mail_that_cannot_leave(work_settings: Settings, broker: redis.Redis, task: str) -> None:
    watch = next(watch for watch in WATCHES if watch.task == task)
    watches = [replace(each, condition="TRUE", seconds=0.1) for each in (watch, DRAIN)]

    def woken(queue: str) -> bool:
        return bool(messages(broker, queue))

    with running(work_settings, jobs=(), watches=watches):
        wait_for(lambda: woken("mail"))
    broker.flushall()
    production = work_settings.model_copy(update={"sigilo_env": "production"})  # it has no SMTP_URL
    with running(production, jobs=(), watches=watches):
        for _ in range(3):
            wait_for(lambda: woken("audit"))
            assert not woken("mail")
            broker.delete("audit")


def test_a_lost_connection_is_made_again(
    work_settings: Settings, work_databases: Databases, broker: redis.Redis, superuser: str
) -> None:
    with running(work_settings):
        wait_for(lambda: len(messages(broker)) == 1)
        with as_superuser(superuser) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {HELD}", (LEADS,))
        wait_for(lambda: leaders(superuser) == 0)
        wait_for(lambda: leaders(superuser) == 1)
        write_events(work_databases, 1)
        wait_for(lambda: len(messages(broker, "audit")) >= 1)
    assert len(messages(broker)) == 1


def test_a_slot_that_redis_missed_is_started_when_it_is_back(
    work_settings: Settings, stoppable: RedisServer, broker: redis.Redis, superuser: str
) -> None:
    """The claim is not committed before the message has left."""
    stoppable.stop()
    try:
        with running(work_settings):
            wait_for(lambda: leaders(superuser) == 1)
        assert runs(superuser) == []
    finally:
        stoppable.start()
    with running(work_settings):
        wait_for(lambda: len(messages(broker)) == 1)
    assert len(runs(superuser)) == 1


def test_a_standby_takes_over_when_the_leader_is_killed(
    start: Callable[[tuple[str, ...]], Process], work_databases: Databases, broker: redis.Redis, superuser: str
) -> None:
    first = start(SCHEDULER)
    wait_for(lambda: first.said("this scheduler leads"))
    second = start(SCHEDULER)
    wait_for(lambda: schedulers(superuser) == 2)
    first.kill()
    wait_for(lambda: second.said("this scheduler leads"), seconds=10)
    broker.flushall()
    write_events(work_databases, 1)
    wait_for(lambda: len(messages(broker, "audit")) >= 1, seconds=10)
    assert second.stop() == 0
    assert leaders(superuser) == 0


def test_a_standby_takes_over_from_a_leader_that_hangs_and_it_does_not_lead_when_it_goes_on(
    start: Callable[[tuple[str, ...]], Process], broker: redis.Redis, superuser: str
) -> None:
    first = start(SCHEDULER)
    wait_for(lambda: first.said("this scheduler leads"))
    second = start(SCHEDULER)
    wait_for(lambda: schedulers(superuser) == 2)
    first.hang()
    try:
        wait_for(lambda: second.said("this scheduler leads"))
    finally:
        first.go_on()
    wait_for(lambda: schedulers(superuser) == 2)  # it is connected again, and stands by
    assert leaders(superuser) == 1
    assert second.stop() == 0
    wait_for(lambda: leaders(superuser) == 1)  # and takes over again


def test_a_slot_is_claimed_once(work_databases: Databases, superuser: str) -> None:
    with work_databases.session(Principal.WORKER) as session:
        assert claim_slot(session, "a.job", NOON)
        assert not claim_slot(session, "a.job", NOON)
        assert claim_slot(session, "a.job", NOON + timedelta(hours=1))
        assert claim_slot(session, "another.job", NOON)


@pytest.mark.parametrize(
    ("begun_ago", "is_finished", "is_lost"),
    [(timedelta(hours=2), False, True), (timedelta(minutes=2), False, False), (timedelta(hours=2), True, False)],
)
def test_a_run_that_never_ended_is_started_again(
    work_databases: Databases, superuser: str, begun_ago: timedelta, is_finished: bool, is_lost: bool
) -> None:
    with work_databases.session(Principal.WORKER) as session:
        claim_slot(session, "a.job", NOON)
        if is_finished:
            finish_run(session, "a.job", NOON, "failure", None)
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE job_runs SET started_at = now() - %s", (begun_ago,))
    with work_databases.session(Principal.WORKER) as session:
        found = claim_lost(session, "a.job", timedelta(hours=1))
    assert found == (NOON if is_lost else None)
    with work_databases.session(Principal.WORKER) as session:
        assert claim_lost(session, "a.job", timedelta(hours=1)) is None
