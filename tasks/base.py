"""The one base Task: transactions as the worker, retries with backoff, durations, outcomes of timed runs, and dead
letters of what failed for good (tasks/dead_letters.py)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import sqlalchemy.exc
import structlog
from celery import Task
from celery.exceptions import Ignore, Reject, Retry
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy.orm import Session

from config import Principal
from observability.task_metrics import TASK_RETRIES, TASK_SECONDS
from observability.tracing import annotate
from services.dead_letter_keep import resolve_dead_letter
from services.job_run import begin_again, finish_run
from tasks.dead_letters import bury
from tasks.runtime import databases
from tasks.tracing import run_span

log = structlog.get_logger()

# The server restarting or handing over, or a lock taking too long, passes; anything else is a fault that a retry
# repeats.
PASSES = (
    sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, psycopg.OperationalError, ReadOnlySqlTransaction,
)  # fmt: skip

# What Celery raises to have a task done again or forgotten: no failure.
VERDICTS = (Retry, Ignore, Reject)


class BaseTask(Task):  # type: ignore[misc]
    """Bodies call services, in one transaction or several short ones: ``with self.transaction() as session``.

    A task that was started for a slot of the schedule gets ``slot`` (RFC 3339) beside its own arguments; the
    body does not see it. What the body returns, where it is a number, is kept as the run's row count; where it is
    numbers by name, as the rows of the run's parts. Arguments are named, and ids.
    """

    abstract = True
    autoretry_for = PASSES
    max_retries = 5
    retry_backoff = 2  # seconds, doubled each time
    retry_backoff_max = 60
    retry_jitter = True
    # A child that was killed has its work done again as after such an error, and not without end: what needs more
    # memory than there is kills every child that takes it, and would be given back for ever.
    retry_on_worker_lost = True
    default_retry_delay = 1  # seconds

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction as the worker role: committed at the end, rolled back when the body raises."""
        with databases().session(Principal.WORKER) as session:
            yield session

    def __call__(self, *args: Any, slot: str | None = None, **kwargs: Any) -> Any:
        with run_span(self, slot, passing=VERDICTS):
            return self._run_and_say(*args, slot=slot, **kwargs)

    def _run_and_say(self, *args: Any, slot: str | None, **kwargs: Any) -> Any:
        started = time.monotonic()
        outcome = "failure"
        try:
            self._begin(slot)
            result = self.run(*args, **kwargs)
            outcome = "success"
        except VERDICTS as verdict:
            outcome = "retry"
            if isinstance(verdict, Retry):
                TASK_RETRIES.labels(self.name).inc()
            cause = type(getattr(verdict, "exc", None)).__name__
            log.warning("task to be done again", task=self.name, task_id=self.request.id, cause=cause)
            raise
        except Exception as error:
            log.exception("task failed", task=self.name, task_id=self.request.id)
            bury(self, error, kwargs | ({} if slot is None else {"slot": slot}), self.request.id or "")
            raise
        finally:
            TASK_SECONDS.labels(self.name, outcome).observe(time.monotonic() - started)
            annotate({"sigilo.task.outcome": outcome})
        self._finish(slot, kwargs, result)
        return result

    def _begin(self, slot: str | None) -> None:
        if slot is not None:
            with self._noting() as session:
                begin_again(session, self.name, datetime.fromisoformat(slot))

    def _finish(self, slot: str | None, arguments: dict[str, Any], result: Any) -> None:
        counts = result if isinstance(result, dict) else None
        rows = sum(counts.values()) if counts is not None else result if isinstance(result, int) else None
        with self._noting() as session:
            if slot is not None:
                finish_run(session, self.name, datetime.fromisoformat(slot), "success", rows, counts)
            if resolve_dead_letter(session, self.name, arguments):
                log.info("what had failed is done", task=self.name, task_id=self.request.id)

    @contextmanager
    def _noting(self) -> Iterator[Session]:
        """A transaction about the run and not of it. What can't be noted is done all the same: the scheduler begins a
        run anew that has no end, and the next success resolves a dead letter."""
        try:
            with self.transaction() as session:
                yield session
        except PASSES:
            log.warning("outcome not noted", task=self.name, task_id=self.request.id)
