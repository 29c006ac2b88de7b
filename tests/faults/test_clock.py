"""The clock is set over a slot, forward and back, and through the hours that daylight saving skips and repeats: each
slot is started once, and a scheduler whose clock went back goes on working at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis

from tests.audit.trail import as_superuser
from tests.tasks.conftest import (
    ROOT,
    broker,
    environment,
    stoppable,
    superuser,
    wait_for,
    work_database,
)

__all__ = ["broker", "environment", "stoppable", "superuser", "work_database"]

NIGHTLY, HOURLY = "0 2 * * *", "0 * * * *"
SCHEDULERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'sigilo-scheduler'
"""
# A place where clocks are set; UTC is what slots are counted in.
NEW_YORK = "America/New_York"


class MovedClock:
    """A scheduler process whose clock stands where the test puts it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.is_killed = False

    def set(self, moment: datetime) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{moment.isoformat()}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self.is_killed = True


@contextmanager
def scheduler_at(environment: dict[str, str], moment: datetime, cron: str) -> Iterator[MovedClock]:
    command = [sys.executable, "-m", "tests.faults.moved_clock", moment.isoformat(), cron]
    variables = environment | {"TZ": NEW_YORK}
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    clock = MovedClock(process)
    try:
        yield clock
    finally:
        process.communicate(timeout=20)
        assert process.returncode == (-signal.SIGKILL if clock.is_killed else 0)


def slots(superuser: str) -> list[datetime]:
    with as_superuser(superuser) as connection:
        return [row[0] for row in connection.execute("SELECT slot FROM job_runs ORDER BY slot")]


def waits_to_claim(superuser: str) -> bool:
    with as_superuser(superuser) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO job_runs%'"
        ).fetchone()
    return row == (1,)


def schedulers(superuser: str) -> int:
    """Processes that lead or stand by."""
    with as_superuser(superuser) as connection:
        row = connection.execute(SCHEDULERS).fetchone()
    return int(row[0]) if row else 0


def started(broker: redis.Redis) -> int:
    """Messages in the queue of the timed job."""
    return int(broker.llen("default"))  # type: ignore[arg-type]


def test_the_clock_is_set_over_two_in_the_night(
    environment: dict[str, str], superuser: str, broker: redis.Redis
) -> None:
    two = datetime(2026, 11, 24, 2, tzinfo=UTC)
    yesterday = two - timedelta(days=1)
    with scheduler_at(environment, two - timedelta(hours=3), NIGHTLY) as clock:
        wait_for(lambda: slots(superuser) == [yesterday])  # missed before it began
        clock.set(two + timedelta(minutes=10))
        wait_for(lambda: slots(superuser) == [yesterday, two])
        clock.set(two - timedelta(seconds=3))  # and comes to two o'clock again by itself
        clock.set(two + timedelta(minutes=1))
        clock.set(two - timedelta(hours=1))
        clock.set(two + timedelta(days=1, seconds=-2))
        wait_for(lambda: slots(superuser) == [yesterday, two, two + timedelta(days=1)])
    assert started(broker) == 3


@pytest.mark.parametrize(
    "change", [datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)], ids=["skipped", "repeated"]
)
def test_every_hour_of_a_night_in_which_clocks_are_set_is_one_slot(
    environment: dict[str, str], superuser: str, broker: redis.Redis, change: datetime
) -> None:
    hours = [change + timedelta(hours=number) for number in range(-2, 3)]
    with scheduler_at(environment, hours[0] + timedelta(minutes=5), HOURLY) as clock:
        for number, hour in enumerate(hours):
            wait_for(lambda number=number: slots(superuser) == hours[: number + 1])  # type: ignore[misc]
            clock.set(hour + timedelta(hours=1, seconds=-1))
        last = hours[-1] + timedelta(hours=1)
        wait_for(lambda: slots(superuser) == [*hours, last])
    assert started(broker) == len(hours) + 1


def test_work_that_waits_is_found_at_once_after_the_clock_went_back(
    environment: dict[str, str], superuser: str, broker: redis.Redis
) -> None:
    """Not after the hour that it went back by: the slot of the time that it shows now is looked for."""
    noon = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
    with scheduler_at(environment, noon, HOURLY) as clock:
        wait_for(lambda: len(slots(superuser)) == 1)
        clock.set(noon - timedelta(hours=6))
        wait_for(lambda: len(slots(superuser)) == 2, seconds=10)
    assert slots(superuser) == [datetime(2026, 11, 24, 6, tzinfo=UTC), datetime(2026, 11, 24, 12, tzinfo=UTC)]


def test_the_leader_of_two_is_killed_at_the_slot(
    environment: dict[str, str], superuser: str, broker: redis.Redis
) -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    one, later = noon + timedelta(hours=1), noon + timedelta(minutes=5)
    with scheduler_at(environment, later, HOURLY) as leader:
        wait_for(lambda: slots(superuser) == [noon])
        with scheduler_at(environment, later, HOURLY) as standby:
            wait_for(lambda: schedulers(superuser) == 2)
            with psycopg.connect(superuser) as blocker:
                blocker.execute("LOCK TABLE job_runs IN SHARE MODE")
                for clock in (leader, standby):
                    clock.set(one - timedelta(seconds=1))
                wait_for(lambda: waits_to_claim(superuser))
                leader.kill()
            wait_for(lambda: slots(superuser) == [noon, one], seconds=10)
    assert started(broker) == 2
