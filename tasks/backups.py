"""Backups, their drills, and retention: the rows say what is to do, the message only that something may be."""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task

from backups import job
from backups.errors import BackupFailed, Busy
from backups.job import Connection
from backups.keys import renew
from backups.run import work_off
from models.engine import driver_connection
from services.dead_letter_keep import resolve_dead_letter
from services.job_schedule import BACKUP
from tasks.base import BaseTask
from tasks.runtime import settings

RUN = "backups.run"
# No retry of the task: a row says why and when it is tried again, and somebody is told. A killed child's work is taken
# up again, once. How long it may take, BACKUP_RUN_MINUTES says (celery_app.py).
LIMITS: dict[str, Any] = {"autoretry_for": (), "max_retries": 1}

log = structlog.get_logger()


@shared_task(name=BACKUP, bind=True, **LIMITS)  # type: ignore[untyped-decorator]
def daily(self: BaseTask) -> dict[str, int]:
    """The backup of the night, and what ``run`` does."""
    with self.transaction() as session:
        job.request(driver_connection(session), "SCHEDULED")
    return _work(self)


@shared_task(name=RUN, bind=True, **LIMITS)  # type: ignore[untyped-decorator]
def run(self: BaseTask) -> dict[str, int]:
    """Make the backup that waits, end what a killed process left, drill what is owed a drill, delete what is old; gives
    how many of each. What fails is a row that says why, and a dead letter until the next one succeeds."""
    return _work(self)


def _renew_key(connection: Connection) -> None:
    try:
        renew(connection, settings())
    except BackupFailed as error:  # the backup's row says so where there is none, else its drill's
        log.warning("no drill key", reason=error.detail)


def _work(task: BaseTask) -> dict[str, int]:
    try:
        with job.exclusive(settings()) as connection:
            _renew_key(connection)
            done = work_off(settings(), connection)
    except Busy:
        log.info("another process works on backups")
        return {}
    if done.made or done.drilled:
        with task.transaction() as session:
            for name in (BACKUP, RUN):  # whichever of them failed last time
                resolve_dead_letter(session, name, {})
    log.info("backups", made=len(done.made), drilled=len(done.drilled), pruned=len(done.pruned))
    return {"made": len(done.made), "drilled": len(done.drilled), "pruned": len(done.pruned)}
