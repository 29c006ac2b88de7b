"""Exactly once, whatever dies: real processes of a whole installation, killed, hung, flushed and filled up.

After each fault: every committed act has exactly one event, none is without its act, the sequence has no gap, the trail
verifies, and work is taken again within a minute without help (``ledger``).
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import redis

from embedded.process import wait_until
from tests.faults.barrier import Point, barrier, until_somebody_waits
from tests.faults.caller import Caller
from tests.faults.clinic import AUDIT_WORKER, DOCTOR, WEB, Clinic
from tests.faults.disk import small_disk
from tests.faults.moved_scheduler import its_scheduler_at

# How long Redis hangs; `make faults` takes the half minute that half-open connections need.
HUNG_SECONDS = float(os.environ.get("FAULTS_HUNG_SECONDS", "4"))
SLOWEST_SECONDS = 4.0
LOOKS_WHETHER_TO_SIGN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE usename = 'sigilo_worker' AND wait_event_type = 'Lock' AND query LIKE '%audit_checkpoints%30 seconds%'
"""
RUNS = "SELECT slot, outcome FROM job_runs WHERE job = 'cleanup.expired' AND slot = ANY (%s) ORDER BY slot"
# Two in the night of UTC; and of where the scheduler is, when daylight saving ends and an hour comes twice.
NIGHTS = {"any": datetime(2026, 11, 24, 2, tzinfo=UTC), "repeated": datetime(2026, 11, 1, 6, tzinfo=UTC)}
EVERY_TENTH = "WHEN (NEW.sequence % 10 = 5)"


@contextmanager
def writing(clinic: Clinic) -> Iterator[Caller]:
    """Somebody writes and reads all the time until the end of the block."""
    caller, stop = clinic.caller(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            written = caller.write(clinic.patient_id)
            if written is not None and written.is_success:
                caller.send("GET", f"/api/medical-records/{written.json()['id']}")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield caller
    finally:
        stop.set()
        thread.join()


def killed_while_writing(clinic: Clinic, caller: Caller, key: str, at: Point) -> None:
    """The web server dies at that point of a request's transaction; the caller gets no answer."""
    with ThreadPoolExecutor(1) as apart, clinic.superuser() as superuser, barrier(superuser, "audit_outbox", at):
        answer = apart.submit(caller.write, clinic.patient_id, key=key)
        until_somebody_waits(superuser)
        killed = clinic.kill(WEB)
        assert answer.result() is None
    clinic.until_it_is_back(WEB, killed)
    clinic.until_it_answers()


def written(clinic: Clinic, key: str) -> int:
    """How many records were made under ``key``."""
    with clinic.superuser() as superuser:
        row = superuser.execute("SELECT count(*) FROM idempotency_keys WHERE key = %s", (key,)).fetchone()
    assert row is not None
    return int(row[0])


def test_web_killed_before_its_commit_did_nothing_and_the_request_can_be_sent_again(clinic: Clinic) -> None:
    caller, key = clinic.caller(), str(uuid.uuid4())
    killed_while_writing(clinic, caller, key, "row")
    assert written(clinic, key) == 0
    again = caller.write(clinic.patient_id, key=key)
    assert again is not None
    assert again.status_code == 201
    clinic.check(caller)


def test_web_killed_at_its_commit_did_it_and_the_same_request_does_it_no_second_time(clinic: Clinic) -> None:
    caller, key = clinic.caller(), str(uuid.uuid4())
    killed_while_writing(clinic, caller, key, "commit")
    assert written(clinic, key) == 1
    again = caller.write(clinic.patient_id, key=key)
    assert again is not None
    assert again.is_success
    clinic.check(caller)


@pytest.mark.parametrize("at", ["row", "commit"])
def test_audit_worker_killed_in_a_batch_or_at_its_commit(clinic: Clinic, at: Point) -> None:
    caller = clinic.caller()
    with clinic.superuser() as superuser, barrier(superuser, "audit_trail", at, EVERY_TENTH):
        for _ in range(12):
            caller.write(clinic.patient_id)
        until_somebody_waits(superuser)
        clinic.kill(AUDIT_WORKER)
    clinic.check(caller)


def test_audit_worker_killed_between_its_commit_and_the_acknowledgement(clinic: Clinic) -> None:
    """After the commit it looks whether to sign; there it waits for the table, with its message taken and not done."""
    caller = clinic.caller()
    with clinic.superuser() as superuser, superuser.transaction():
        superuser.execute("LOCK TABLE audit_checkpoints IN ACCESS EXCLUSIVE MODE")
        caller.write(clinic.patient_id)
        with clinic.superuser() as another:
            assert wait_until(lambda: another.execute(LOOKS_WHETHER_TO_SIGN).fetchone() != (0,), 30)
        clinic.kill(AUDIT_WORKER)
    clinic.check(caller)


def test_redis_flushed_while_work_goes_on(clinic: Clinic) -> None:
    broker = redis.Redis.from_url((clinic.installation.home.secrets / "redis_url").read_text().strip())
    with broker, writing(clinic) as caller:
        for _ in range(5):
            enough(caller, 5)
            broker.flushall()
    assert caller.unanswered == []
    clinic.check(caller)


def enough(caller: Caller, more: int) -> None:
    """Wait until so many more requests were answered."""
    wanted = len(caller.answered) + more
    assert wait_until(lambda: len(caller.answered) >= wanted, 60)


def test_redis_killed_and_started_again(clinic: Clinic) -> None:
    with writing(clinic) as caller:
        enough(caller, 5)
        clinic.until_it_is_back("redis-server", clinic.kill("redis-server"))
        enough(caller, 5)
    assert caller.unanswered == []
    clinic.check(caller)


def test_redis_lost_and_replaced_by_an_empty_one_under_load_opens_no_quota(clinic: Clinic) -> None:
    """One that was lost has forgotten who asked how often. What passes is what each of the three lets through: the one
    that was, the processes by themselves (half), and the empty one."""
    quota = 40
    token = clinic.installation.sigilo("token", "create", "--email", DOCTOR, "--quota", f"{quota}/minute")
    busy = Caller(clinic.caller().url, token.stdout.strip())
    begun = time.monotonic()
    with writing(clinic) as caller:
        until_refused(busy)
        killed = clinic.kill("redis-server")
        until_refused(busy)
        clinic.until_it_is_back("redis-server", killed)
        with redis.Redis.from_url((clinic.installation.home.secrets / "redis_url").read_text().strip()) as broker:
            assert wait_until(lambda: is_flushed(broker), 30)
        enough(caller, 10)
        until_refused(busy)
    windows = 1 + (time.monotonic() - begun) // 60
    assert quota < len(busy.answered) <= 2.5 * quota * windows
    assert caller.unanswered == []
    clinic.check(caller)


def until_refused(caller: Caller) -> None:
    for _ in range(1_000):
        answer = caller.send("GET", "/api/me")
        assert answer is not None
        if answer.status_code == 429:
            return
        assert answer.status_code == 200
    raise AssertionError("a thousand requests passed")


def is_flushed(broker: redis.Redis) -> bool:
    try:
        return bool(broker.flushall())
    except redis.exceptions.RedisError:  # it is starting
        return False


def test_requests_succeed_while_redis_hangs_and_work_goes_on_afterwards(clinic: Clinic) -> None:
    """Connections stay open and answer nothing, as behind a dead switch."""
    hung = clinic.installation.child("redis-server")
    with writing(clinic) as caller:
        enough(caller, 5)
        hung.send_signal(signal.SIGSTOP)
        try:
            until = time.monotonic() + HUNG_SECONDS
            while time.monotonic() < until:
                enough(caller, 5)
        finally:
            hung.send_signal(signal.SIGCONT)
        enough(caller, 5)
    assert caller.unanswered == []
    # A request waits for nobody's time-out but its own short one; the machine may be busy.
    assert caller.slowest < SLOWEST_SECONDS
    clinic.check(caller)


def test_postgresql_killed_and_started_again(clinic: Clinic) -> None:
    """What was answered is there; what was not is there whole or not at all."""
    with writing(clinic) as caller:
        enough(caller, 10)
        clinic.until_it_is_back("bin/postgres", clinic.kill("bin/postgres"))
        clinic.until_it_answers()
        enough(caller, 10)
    clinic.check(caller)


def test_a_full_disk_under_the_outbox_refuses_and_loses_nothing(clinic: Clinic) -> None:
    """Nobody seals for the time being, or the space of what was sealed would be used again."""
    caller = clinic.caller()
    seen = caller.write(clinic.patient_id)
    assert seen is not None
    record = f"/api/medical-records/{seen.json()['id']}"
    clinic.check(caller)
    workers = clinic.members(AUDIT_WORKER)
    with clinic.superuser() as superuser, small_disk(superuser, "audit_outbox"):
        for process in workers:
            process.send_signal(signal.SIGSTOP)
        try:
            refused = first_refusal(caller, record)
        finally:
            for process in workers:
                process.send_signal(signal.SIGCONT)
        assert refused.status_code == 503
        assert "Consulta" not in refused.text
        clinic.check(caller)
    answer = caller.write(clinic.patient_id)
    assert answer is not None
    assert answer.status_code == 201
    clinic.check(caller)


def first_refusal(caller: Caller, path: str) -> httpx.Response:
    for _ in range(2_000):
        answer = caller.send("GET", path)
        assert answer is not None
        if not answer.is_success:
            return answer
    pytest.fail("the disk was never full")


@pytest.mark.parametrize("two", NIGHTS.values(), ids=NIGHTS)
def test_the_schedulers_clock_is_set_over_two_while_requests_write(clinic: Clinic, two: datetime) -> None:
    """Forward, back and forward again: what is asked meanwhile has its one event, what is timed runs once a slot, and
    sealing goes on."""
    yesterday, tomorrow = two - timedelta(days=1), two + timedelta(days=1)
    cron = f"0 {two.hour} * * *"

    def runs() -> list[tuple[datetime, str | None]]:
        with clinic.superuser() as connection:
            return connection.execute(RUNS, ([yesterday, two, tomorrow],)).fetchall()

    def ended(*slots: datetime) -> bool:
        return bool(wait_until(lambda: runs() == [(slot, "success") for slot in slots], 30))

    with writing(clinic) as caller, its_scheduler_at(clinic, two - timedelta(hours=3), cron) as clock:
        assert ended(yesterday), runs()
        clock.set(two + timedelta(minutes=10))
        assert ended(yesterday, two), runs()
        clock.set(two - timedelta(hours=1))  # back over it: that slot is done
        before = len(caller.answered)
        assert wait_until(lambda: len(caller.answered) > before + 20, 20)
        clock.set(two + timedelta(minutes=1))
        clock.set(tomorrow + timedelta(seconds=1))
        assert ended(yesterday, two, tomorrow), runs()
    assert caller.unanswered == [], "no request noticed"
    clinic.check(caller)
