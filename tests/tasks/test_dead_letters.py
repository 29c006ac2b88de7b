"""What fails for good leaves a row that says so and quotes nothing, and success takes it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import redis
from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.exceptions import Ignore, Reject, Retry
from celery.signals import task_failure
from celery.worker import state

from config import Principal
from integrations.broker import Publisher, broker_url
from models import new_id
from models.engine import Databases
from tasks.base import BaseTask
from tests.audit.trail import as_superuser, write_events
from tests.tasks.conftest import WORKER, Process, wait_for
from tests.tasks.test_base import SLOT, app, make_task

__all__ = ["app", "make_task"]

Start = Callable[[tuple[str, ...]], Process]
PARTITIONS = "ON FUNCTION audit_trail_ensure_partition(timestamptz)"


def letters(superuser: str) -> list[dict[str, Any]]:
    with as_superuser(superuser) as connection:
        rows = connection.execute("SELECT to_jsonb(l) FROM dead_letters l ORDER BY id")
        return [row[0] for row in rows]


def letter(superuser: str) -> dict[str, Any]:
    [only] = letters(superuser)
    return only


def runs(superuser: str) -> list[tuple[Any, ...]]:
    with as_superuser(superuser) as connection:
        return connection.execute("SELECT job, outcome FROM job_runs").fetchall()


def test_work_that_fails_in_a_worker_leaves_one_row_and_its_success_resolves_it(
    start: Start, superuser: str, stoppable_url: str
) -> None:
    start(WORKER)
    publisher = Publisher(stoppable_url)
    with as_superuser(superuser) as connection:
        connection.execute(f"REVOKE EXECUTE {PARTITIONS} FROM sigilo_worker")
        try:
            publisher.send("audit.partitions", slot=SLOT)
            wait_for(lambda: letters(superuser) != [])
        finally:
            connection.execute(f"GRANT EXECUTE {PARTITIONS} TO sigilo_worker")
    kept = letter(superuser)
    assert (kept["task"], kept["queue"], kept["arguments"]) == ("audit.partitions", "audit", {})
    assert (kept["error"], kept["attempts"], kept["slot"]) == ("ProgrammingError", 1, SLOT)
    assert "denied" not in str(kept) and kept["resolved_at"] is None
    assert runs(superuser) == [("audit.partitions", "failure")]
    publisher.send("audit.partitions", slot=SLOT)
    wait_for(lambda: letter(superuser)["resolved_at"] is not None)
    assert runs(superuser) == [("audit.partitions", "success")]


def waiting(superuser: str) -> list[int]:
    """Backends of workers that wait to insert into the trail."""
    with as_superuser(superuser) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND query LIKE '%INSERT INTO audit_trail%' AND pid <> pg_backend_pid()"
        )
        return [row[0] for row in rows]


def end_backends(superuser: str) -> None:
    """What waits for a client that is gone gives way at once."""
    with as_superuser(superuser) as connection:
        for each in waiting(superuser):
            connection.execute("SELECT pg_terminate_backend(%s)", (each,))
    wait_for(lambda: waiting(superuser) == [])


def test_work_whose_child_is_killed_twice_is_given_back_once(
    start: Start, work_databases: Databases, superuser: str, stoppable_url: str, broker: redis.Redis
) -> None:
    worker = start(WORKER)
    wait_for(lambda: len(worker.children) == 1)
    write_events(work_databases, 5)
    with psycopg.connect(superuser) as blocker:
        blocker.execute("LOCK TABLE audit_trail IN SHARE MODE")
        Publisher(stoppable_url).send("audit.drain")
        for _ in range(2):
            wait_for(lambda: waiting(superuser) != [])
            assert letters(superuser) == []
            worker.children[0].kill()
            end_backends(superuser)
        wait_for(lambda: letters(superuser) != [])
    kept = letter(superuser)
    assert (kept["task"], kept["error"], kept["attempts"]) == ("audit.drain", "WorkerLostError", 2)
    wait_for(lambda: broker.hlen("unacked") == 0)
    assert broker.llen("audit") == 0, "not given back for ever"
    Publisher(stoppable_url).send("audit.drain")
    wait_for(lambda: letter(superuser)["resolved_at"] is not None)


def test_work_that_ran_into_its_hard_limit_is_kept_by_the_parent(
    start: Start, work_databases: Databases, superuser: str, stoppable_url: str
) -> None:
    """The child hangs so that it does not notice its soft limit."""
    worker = start(WORKER)
    write_events(work_databases, 5)
    broker = broker_url(stoppable_url)
    with Celery(broker=broker, set_as_current=False) as sender, psycopg.connect(superuser) as blocker:
        blocker.execute("LOCK TABLE audit_trail IN SHARE MODE")
        limits = {"soft_time_limit": 2, "time_limit": 3}
        sender.send_task("audit.drain", queue="audit", kwargs={"slot": SLOT}, retry=False, **limits)
        wait_for(lambda: waiting(superuser) != [])
        worker.children[0].suspend()
        wait_for(lambda: letters(superuser) != [])
        end_backends(superuser)
    kept = letter(superuser)
    assert (kept["task"], kept["error"], kept["attempts"]) == ("audit.drain", "TimeLimitExceeded", 1)
    assert runs(superuser) == [("audit.drain", "failure")]


@pytest.mark.parametrize(("ends", "kept"), [(None, 1), (True, 0), (0, 0)])
def test_what_a_deployment_interrupts_is_put_back_and_no_failure(
    make_task: Any, superuser: str, monkeypatch: pytest.MonkeyPatch, ends: int | None, kept: int
) -> None:
    """Celery's own mark of a worker that ends with work in hand, by whose children's end it would seem to be lost."""

    def body(self: BaseTask) -> None:
        pass

    task = make_task(body)
    monkeypatch.setattr(state, "should_terminate", ends)
    lost = WorkerLostError("Conceição")
    task_failure.send(sender=task, task_id="1", exception=lost, args=(), kwargs={}, traceback=None, einfo=None)
    assert len(letters(superuser)) == kept


def test_one_row_counts_up_until_the_work_succeeds_and_opens_again_after(make_task: Any, superuser: str) -> None:
    fails = [True]

    def body(self: BaseTask, patient_id: str) -> None:
        if fails[0]:
            raise KeyError

    task, one, two = make_task(body), {"patient_id": str(new_id())}, {"patient_id": str(new_id())}
    for arguments in (one, two, one):
        assert task.apply(kwargs=arguments).failed()
    first, second = letters(superuser)
    assert (first["arguments"], first["attempts"], second["attempts"]) == (one, 2, 1)
    assert first["failed_at"] > first["first_failed_at"]
    fails[0] = False
    assert task.apply(kwargs=one).successful()
    assert [each["resolved_at"] is None for each in letters(superuser)] == [False, True]
    fails[0] = True
    assert task.apply(kwargs=one).failed()
    again = letters(superuser)[0]
    assert (again["id"], again["attempts"], again["resolved_at"]) == (first["id"], 1, None)
    assert again["first_failed_at"] == again["failed_at"]


def test_what_somebody_dismissed_stays_so_and_the_next_failure_is_another_row(
    make_task: Any, superuser: str, work_databases: Databases
) -> None:
    def body(self: BaseTask) -> None:
        raise KeyError

    task = make_task(body)
    task.apply()
    with as_superuser(superuser) as connection:
        connection.execute(
            "UPDATE dead_letters SET resolved_at = now(), dismissal_reason = 'x', dismissed_by = (SELECT id FROM users"
            " LIMIT 1)"
        )
    task.apply()
    assert [each["dismissal_reason"] for each in letters(superuser)] == ["x", None]
    assert [each["attempts"] for each in letters(superuser)] == [1, 1]


def test_no_word_of_an_exception_or_of_an_argument_is_kept(make_task: Any, superuser: str) -> None:
    def body(self: BaseTask, name: str, number: int) -> None:
        raise ValueError("Conceição tem HIV")

    assert make_task(body).apply(kwargs={"name": "Conceição", "number": 7}).failed()
    kept = letter(superuser)
    assert (kept["error"], kept["arguments"]) == ("ValueError", {"name": None, "number": 7})
    assert "Concei" not in str(kept) and "HIV" not in str(kept)


@pytest.mark.parametrize("verdict", [Ignore(), Reject(), Retry()])
def test_a_verdict_is_no_failure(make_task: Any, superuser: str, verdict: Exception) -> None:
    def body(self: BaseTask) -> None:
        raise verdict

    make_task(body).apply()
    assert letters(superuser) == []


def test_where_nothing_can_be_kept_the_log_has_it(
    make_task: Any, superuser: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def body(self: BaseTask) -> None:
        raise KeyError

    with as_superuser(superuser) as connection:
        connection.execute("REVOKE INSERT ON dead_letters FROM sigilo_worker")
        try:
            assert make_task(body).apply().failed()
        finally:
            connection.execute("GRANT INSERT ON dead_letters TO sigilo_worker")
    assert letters(superuser) == [] and "failure not kept" in capfd.readouterr().out


@pytest.mark.parametrize("principal", [Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS, Principal.AUDITOR])
def test_security_21_nobody_but_the_worker_says_that_something_failed(
    work_databases: Databases, principal: Principal
) -> None:
    with work_databases.autocommit(principal) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("INSERT INTO dead_letters (id) VALUES (gen_random_uuid())")
    with work_databases.autocommit(principal) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE dead_letters SET task = 'x'")


@pytest.mark.parametrize("principal", [Principal.PATIENT, Principal.ANONYMOUS])
def test_security_21_only_who_works_here_reads_what_failed(work_databases: Databases, principal: Principal) -> None:
    with work_databases.autocommit(principal) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT task FROM dead_letters")
