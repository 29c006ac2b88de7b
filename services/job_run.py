"""Runs of timed jobs: a slot is done once, whoever's clock strikes it, and its outcome is kept.

A row of ``job_runs`` is claimed by inserting it; its key (job, slot) lets one of two schedulers through.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import JobRun

Outcome = Literal["success", "failure"]


def claim_slot(session: Session, job: str, slot: datetime) -> bool:
    """Whether the slot was free and is now this caller's. Waits for another's uncommitted claim."""
    claimed = session.execute(
        insert(JobRun).values(job=job, slot=slot).on_conflict_do_nothing().returning(JobRun.slot)
    ).one_or_none()
    return claimed is not None


def claim_lost(session: Session, job: str, lost_after: timedelta) -> datetime | None:
    """The newest slot of ``job`` that began more than ``lost_after`` ago and never ended, begun anew; None
    when there is none. Its message, or the worker that took it, is gone."""
    newest = select(func.max(JobRun.slot)).where(JobRun.job == job).scalar_subquery()
    return session.execute(
        update(JobRun)
        .where(JobRun.job == job, JobRun.slot == newest, JobRun.finished_at.is_(None))
        .where(JobRun.started_at < func.now() - lost_after)
        .values(started_at=func.now())
        .returning(JobRun.slot)
    ).scalar_one_or_none()


def begin_again(session: Session, job: str, slot: datetime) -> None:
    """A run of ``slot`` starts that ended before: somebody tried it again, or its message came twice."""
    session.execute(
        update(JobRun)
        .where(JobRun.job == job, JobRun.slot == slot, JobRun.finished_at.is_not(None))
        .values(started_at=func.now(), finished_at=None)  # what it came to stays known until it ends again
    )


def finish_run(
    session: Session, job: str, slot: datetime, outcome: Outcome, rows: int | None, counts: dict[str, int] | None = None
) -> None:
    """Write down how the run of ``slot`` ended, also when the claim's commit failed after its message left.
    ``counts``: what ``rows`` is made of, where the job has parts."""
    ended = {"finished_at": func.clock_timestamp(), "outcome": outcome, "rows": rows, "counts": counts}
    statement = insert(JobRun).values(job=job, slot=slot, **ended)
    session.execute(statement.on_conflict_do_update(index_elements=["job", "slot"], set_=ended))
