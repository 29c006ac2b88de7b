"""Work that failed for good leaves a row, whichever process notices.

In the child: the exception that no attempt is left for. In the parent, where the child can say nothing any more: it
ran into the hard limit, or was killed once more often than work is given back (``retry_on_worker_lost``, counted in the
message itself). A hard limit is dead at once: what ran for an hour in vain would do so again. Never what a deployment
interrupts, or a lost connection to Redis: that is put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task
from celery.signals import task_failure
from celery.worker import state
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config import Principal
from integrations.broker import queue_of
from models.engine import make_engine
from services.dead_letter_keep import Failure, keep_dead_letter
from services.job_run import finish_run
from tasks.runtime import settings

log = structlog.get_logger()


@task_failure.connect  # type: ignore[untyped-decorator]
def bury_what_its_child_cannot(
    sender: Task, task_id: str, exception: BaseException, kwargs: Mapping[str, Any], **_: Any
) -> None:
    """In the parent. Other exceptions were seen by the child itself."""
    is_ending = state.should_terminate is not None and state.should_terminate is not False  # an exit code may be 0
    if isinstance(exception, TimeLimitExceeded | WorkerLostError) and not is_ending:
        log.error("task failed", task=sender.name, task_id=task_id, cause=type(exception).__name__)
        bury(sender, exception, kwargs, task_id)


def bury(task: Task, error: BaseException, arguments: Mapping[str, Any], task_id: str) -> None:
    """Keep that ``task`` failed with ``arguments`` (a timed run's ``slot`` among them). Raises nothing: where even this
    can't be written the log has it, and the scheduler starts anew what it starts. A task called as a function is its
    caller's to deal with."""
    if task.request.called_directly and not isinstance(error, TimeLimitExceeded | WorkerLostError):
        return
    given = dict(arguments)
    slot = given.pop("slot", None)
    at = None if slot is None else datetime.fromisoformat(slot)
    attempts = (task.request.retries or 0) + 1
    failure = Failure(task.name, queue_of(task.name), given, at, type(error).__name__, task_id, attempts)
    try:
        with _own_transaction() as session:
            if at is not None:
                finish_run(session, task.name, at, "failure", getattr(error, "rows", None))
            keep_dead_letter(session, failure)
    except (SQLAlchemyError, psycopg.Error) as trouble:
        log.error("failure not kept", task=task.name, task_id=task_id, cause=type(trouble).__name__)


@contextmanager
def _own_transaction() -> Iterator[Session]:
    """Over a connection that is made for it: the child's may be what failed, and the parent keeps none, which its
    children would inherit."""
    engine = make_engine(settings().url_anew(Principal.WORKER), pool_size=1)
    try:
        with Session(engine) as session, session.begin():
            yield session
    finally:
        engine.dispose()
