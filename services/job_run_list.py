"""How a timed job went: its newest runs, and what the last did part by part. Numbers and times, nobody's data."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import JobRun
from services.actor import Actor
from services.cleanup_expired import RULES
from services.errors import NotFound
from services.job_schedule import CLEANUP, JOBS, TimedJob
from services.permissions import Permission
from services.record_fields import time_text

MOST_SHOWN = 20
NO_JOB = "There is no such timed job."


def list_runs(session: Session, actor: Actor, name: str, now: datetime, clinic: tzinfo = UTC) -> dict[str, Any]:
    """``{"name", "nextAt", "runs": [{slot, …}], "rules": [{table, keepSeconds, rows}], "rulesAt"}``, newest first; see
    ``shown_run``. ``rules`` is what the clean-up deleted in its last run that succeeded, at ``rulesAt``: ``rows`` is
    None for what it did not come to, and ``rules`` empty for every other job. Raises Forbidden, NotFound."""
    actor.require(Permission.USER_MANAGE)
    job = next((job for job in JOBS if job.task == name), None)
    if job is None:
        raise NotFound(NO_JOB)
    newest = select(JobRun).where(JobRun.job == name).order_by(JobRun.slot.desc()).limit(MOST_SHOWN)
    runs = session.scalars(newest).all()
    counted = next((run for run in runs if run.counts is not None), None)
    return {
        "name": name,
        "nextAt": next_slot(job, now, clinic),
        "runs": [{"slot": time_text(run.slot), **shown_run(run)} for run in runs],
        "rules": _rules({} if counted is None else counted.counts or {}) if name == CLEANUP else [],
        "rulesAt": None if counted is None else time_text(counted.finished_at),
    }


def shown_run(run: JobRun | None) -> dict[str, Any]:
    """``{state, startedAt, finishedAt, seconds, rows}``; ``state`` is never, running, success or failure."""
    if run is None:
        return {"state": "never", "startedAt": None, "finishedAt": None, "seconds": None, "rows": None}
    ended = run.finished_at
    return {
        "state": "running" if ended is None else run.outcome,
        "startedAt": time_text(run.started_at),
        "finishedAt": time_text(ended),
        # A claim may be committed after its run has ended.
        "seconds": None if ended is None else max(0.0, (ended - run.started_at).total_seconds()),
        "rows": run.rows,
    }


def next_slot(job: TimedJob, now: datetime, clinic: tzinfo = UTC) -> str | None:
    following = job.next_slot(now, clinic)
    return time_text(None if following is None else following.astimezone(UTC))


def _rules(counts: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"table": rule.name, "keepSeconds": int(rule.keep.total_seconds()), "rows": counts.get(rule.name)}
        for rule in RULES
    ]
