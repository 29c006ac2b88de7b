"""The one base Task: transactions as the worker, retries with backoff, durations, and outcomes of timed runs."""

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
from sqlalchemy.orm import Session

from config import Principal
from observability.task_metrics import TASK_SECONDS
from services.job_run import finish_run
from tasks.runtime import databases

log = structlog.get_logger()


class BaseTask(Task):  # type: ignore[misc]
    """Bodies call services, in one transaction or several short ones: ``with self.transaction() as session``.

    A task that was started for a slot of the schedule gets ``slot`` (RFC 3339) beside its own arguments; the
    body does not see it. What the body returns, where it is a number, is kept as the run's row count.
    """

    abstract = True
    # The server restarting or a lock taking too long passes; anything else is a fault that a retry repeats.
    autoretry_for = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, psycopg.OperationalError)
    max_retries = 5
    retry_backoff = 2  # seconds, doubled each time
    retry_backoff_max = 60
    retry_jitter = True

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction as the worker role: committed at the end, rolled back when the body raises."""
        with databases().session(Principal.WORKER) as session:
            yield session

    def __call__(self, *args: Any, slot: str | None = None, **kwargs: Any) -> Any:
        started = time.monotonic()
        outcome = "failure"
        try:
            result = self.run(*args, **kwargs)
            outcome = "success"
        except (Retry, Ignore, Reject) as verdict:
            outcome = "retry"
            cause = type(getattr(verdict, "exc", None)).__name__
            log.warning("task to be done again", task=self.name, task_id=self.request.id, cause=cause)
            raise
        except Exception as error:
            log.exception("task failed", task=self.name, task_id=self.request.id)
            self._finish(slot, "failure", getattr(error, "rows", None))
            raise
        finally:
            TASK_SECONDS.labels(self.name, outcome).observe(time.monotonic() - started)
        self._finish(slot, "success", result if isinstance(result, int) else None)
        return result

    def _finish(self, slot: str | None, outcome: Any, rows: int | None) -> None:
        if slot is not None:
            with self.transaction() as session:
                finish_run(session, self.name, datetime.fromisoformat(slot), outcome, rows)
