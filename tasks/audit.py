"""Sealing the trail, signing it, checking it, and its partitions made ahead."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import structlog
from celery import shared_task
from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Principal, Settings
from integrations.storage import FolderStorage
from models.connection import connect
from observability.task_metrics import EVENTS_SEALED
from services.audit_alarm_check import unsaid_alarms
from services.audit_archive import (
    archive_of,
    drop_partition,
    due_partition,
    last_event,
    refuse_changed,
    remember,
    remove_leftovers,
    write_archive,
)
from services.audit_check_note import TrailCheck, keep_check
from services.audit_checkpoint import SIGN_DUE, sign_event, signer_of, write_checkpoint
from services.audit_drain import BATCH, ensure_partitions
from services.audit_drain import drain as seal
from services.audit_findings import note_findings
from services.audit_report import unanchored, unsaid
from services.audit_verify import verify_trail
from services.checkpoint_deliver import handed_over, kept_outside, note_sinks
from services.errors import Conflict
from services.job_schedule import ARCHIVE, VERIFY
from tasks.base import BaseTask
from tasks.runtime import settings

DRAIN_SECONDS = 20.0
MOST_LOGGED = 10
A_NIGHT = timedelta(hours=26)  # as the database has it: a check of the trail falls into it

log = structlog.get_logger()


class TrailBroken(Exception):
    """The trail is not what was sealed, in ``rows`` places."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


# No retry: the scheduler wakes it again within two seconds while anything waits. Once where its child was killed.
@shared_task(name="audit.drain", bind=True, autoretry_for=(), max_retries=1, soft_time_limit=60, time_limit=90)  # type: ignore[untyped-decorator]
def drain(self: BaseTask) -> int:
    """Seal what waits, a transaction a batch, until nothing does or twenty seconds have passed.

    A batch with room left took all there was. What was committed since then has its own wake-up on the way.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    sealed = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            drained = seal(session)
        sealed += drained.count
        EVENTS_SEALED.inc(drained.count)
        if drained.count < BATCH:
            break
    _sign_if_due(self)
    return sealed


def _sign_if_due(task: BaseTask) -> None:
    """Where drains follow one another without a pause, wake-ups for checkpoints wait behind them, or get lost. What may
    not be signed stops no drain."""
    try:
        with task.transaction() as session:
            if session.scalar(text(f"SELECT {SIGN_DUE}")):
                _sign(session)
    except Conflict as error:
        log.error("the trail was not signed", reason=error.detail)


# No retry: the scheduler looks again within the minute, and what may not be signed stays so until somebody looks.
@shared_task(name="audit.checkpoint", bind=True, autoretry_for=(), max_retries=1)  # type: ignore[untyped-decorator]
def checkpoint(self: BaseTask) -> None:
    """Sign what was sealed since the last checkpoint."""
    with self.transaction() as session:
        _sign(session)


def _sign(session: Session) -> None:
    """The places that keep checkpoints are owed this one from then on."""
    here = settings()
    write_checkpoint(session, signer_of(here))
    note_sinks(session, here)


@shared_task(name="audit.partitions", bind=True)  # type: ignore[untyped-decorator]
def partitions(self: BaseTask) -> int:
    """Make the partitions of the months to come, so that no drain waits for readers to make one."""
    with self.transaction() as session:
        return ensure_partitions(session)


@shared_task(name=VERIFY, bind=True)  # type: ignore[untyped-decorator]
def verify(self: BaseTask) -> int:
    """Check the whole trail as `sigilo audit verify` does, against the checkpoints in folders and buckets where
    there are some: gives how many events hold together. What it finds wrong is kept as a failure with the number of
    problems."""
    here = settings()
    keys = signer_of(here).trusted
    with self.transaction() as session:
        handed = handed_over(session)
    outside = kept_outside(here, keys, handed)
    with connect(here.url_anew(Principal.WORKER)) as connection:
        archives = FolderStorage(here.archive_folder)
        report = verify_trail(connection, keys, notes=outside.kept, archives=archives)
        alarms = unsaid_alarms(connection)
    for alarm in alarms:
        report.add(unsaid(alarm.sequence))
    for place in outside.ahead:
        log.warning("a place has a newer checkpoint than was noted of it", place=place)
    if outside.is_missing:
        report.add(unanchored())
    with self.transaction() as session:
        note_findings(session, report, [alarm.id for alarm in alarms if alarm.is_gone])
        found = TrailCheck(datetime.now(UTC), report.head, report.events, report.problem_count)
        keep_check(session, signer_of(here), found)
    if not report.is_intact:
        named = [f"{problem.kind} {problem.sequence}" for problem in report.problems[:MOST_LOGGED]]
        log.error("the trail is not intact", problems=report.problem_count, first=named)
        raise TrailBroken(report.problem_count)
    return report.events


@shared_task(name=ARCHIVE, bind=True)  # type: ignore[untyped-decorator]
def archive(self: BaseTask) -> int:
    """Write the oldest month into an archive when it is older than the clinic keeps online, and let it leave the
    database when a check has seen it; gives how many events left."""
    here = settings()
    gone = 0
    while True:
        with self.transaction() as session:
            partition = due_partition(session, here)
            last = None if partition is None else last_event(session, partition)
            kept = None if last is None else archive_of(session, last)
        if partition is None:
            return gone
        if last is not None and kept is None:
            if not here.backup_age_recipient:
                log.warning("the trail is not archived: BACKUP_AGE_RECIPIENT is not set", partition=partition)
                return gone
            _write(self, here, partition, last)
            return gone  # the month is the database's for another night
        if kept is not None:
            if kept.created_at > datetime.now(UTC) - A_NIGHT:
                return gone
            refuse_changed(here, kept)
        with self.transaction() as session:
            drop_partition(session, partition)
        gone += 0 if kept is None else kept.last - kept.first + 1
        log.info("left the database", partition=partition, last=last)


def _write(task: BaseTask, here: Settings, partition: str, last: int) -> None:
    """What can't be signed is not written first."""
    with task.transaction() as session:
        remove_leftovers(session, here, partition)
        sign_event(session, signer_of(here), last)
    written = write_archive(here, partition)
    with task.transaction() as session:
        remember(session, here, written)
    log.info("archived", partition=partition, last=last)
