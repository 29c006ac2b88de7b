"""The base task: transactions, retries, outcomes of timed runs, and logs that quote nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery
from sqlalchemy import text

from celery_app import app as worker_app
from celery_app import log_as_json
from models.engine import Databases
from tasks import audit, runtime
from tasks.base import BaseTask
from tests.audit.trail import as_superuser, sealed, write_events

SLOT = "2026-11-24T12:17:00+00:00"


@pytest.fixture
def app(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """The workers' application in this process, over this module's database."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    runtime._opened.cache_clear()
    worker_app.loader.import_default_modules()
    yield worker_app
    runtime.databases().dispose()
    runtime._opened.cache_clear()


@pytest.fixture
def make_task(app: Celery) -> Iterator[Any]:
    """Registers a function as a task under a name of its own; forgets it afterwards."""
    names: list[str] = []

    def register(body: Any, **options: Any) -> BaseTask:
        task: BaseTask = app.task(body, bind=True, name=f"tests.task{len(names)}", base=BaseTask, **options)
        names.append(task.name)
        return task

    yield register
    for name in names:
        app.tasks.unregister(name)


def outcomes(superuser: str) -> list[tuple[Any, ...]]:
    with as_superuser(superuser) as connection:
        return connection.execute("SELECT job, outcome, rows FROM job_runs").fetchall()


def test_a_drain_seals_everything_in_batches(app: Celery, work_databases: Databases, superuser: str) -> None:
    written = write_events(work_databases, 2_300)
    assert app.tasks["audit.drain"]() == 2_300
    assert [row["id"] for row in sealed(superuser)] == written
    assert app.tasks["audit.drain"]() == 0


def test_a_drain_ends_when_its_time_is_over(
    app: Celery, work_databases: Databases, monkeypatch: pytest.MonkeyPatch, superuser: str
) -> None:
    """The scheduler wakes it again: a backlog never keeps a worker for longer than its limits."""
    write_events(work_databases, 10)
    monkeypatch.setattr(audit, "DRAIN_SECONDS", 0.0)
    assert app.tasks["audit.drain"]() == 0


@pytest.mark.parametrize(("task", "rows"), [("audit.partitions", 4), ("cleanup.expired", 0)])
def test_a_timed_run_is_written_down(app: Celery, superuser: str, task: str, rows: int) -> None:
    app.tasks[task](slot=SLOT)
    assert outcomes(superuser) == [(task, "success", rows)]


def test_a_failed_body_is_undone_and_its_words_are_not_logged(
    make_task: Any, superuser: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log_as_json()

    def body(self: BaseTask) -> None:
        with self.transaction() as session:
            session.execute(text("INSERT INTO job_runs (job, slot) VALUES ('undone', now())"))
            raise ValueError("Conceição tem HIV")

    task = make_task(body)
    assert task.apply(kwargs={"slot": SLOT}).failed()
    assert outcomes(superuser) == [(task.name, "failure", None)]
    shown = capfd.readouterr()
    assert "task failed" in shown.out
    assert "Concei" not in shown.out + shown.err


@pytest.mark.parametrize("failures", [2, 5])
def test_a_server_that_was_away_is_tried_again(make_task: Any, superuser: str, failures: int) -> None:
    attempts = itertools.count(1)

    def body(self: BaseTask) -> int:
        number = next(attempts)
        if number <= failures:
            raise psycopg.OperationalError
        return number

    task = make_task(body)
    assert task.apply(kwargs={"slot": SLOT}).get() == failures + 1
    assert outcomes(superuser) == [(task.name, "success", failures + 1)]


def test_attempts_have_an_end(make_task: Any, superuser: str) -> None:
    attempts = itertools.count(1)

    def body(self: BaseTask) -> None:
        next(attempts)
        raise psycopg.OperationalError

    task = make_task(body)
    assert task.apply(kwargs={"slot": SLOT}).failed()
    assert next(attempts) == task.max_retries + 2
    assert outcomes(superuser) == [(task.name, "failure", None)]


def test_a_fault_is_not_repeated(make_task: Any, superuser: str) -> None:
    attempts = itertools.count(1)

    def body(self: BaseTask) -> None:
        next(attempts)
        raise KeyError

    assert make_task(body).apply().failed()
    assert next(attempts) == 2
