"""How the installation stands: versions, the trail, timed jobs, sessions, space. Numbers and times, nobody's data."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from models import AuditArchive, CheckpointSink, JobRun
from services.actor import Actor
from services.audit_findings import list_findings
from services.authenticate import IDLE
from services.dead_letter_list import list_dead_letters
from services.job_run_list import next_slot, shown_run
from services.job_schedule import JOBS, VERIFY
from services.permissions import Permission
from services.record_fields import time_text

DATABASE = text(
    "SELECT current_setting('server_version') AS version, (SELECT version_num FROM alembic_version) AS revision,"
    " pg_database_size(current_database()) AS bytes"
)
TRAIL = text(
    "SELECT waiting, sealed, sealed_at, signed, signed_at, audit_outbox_lag() AS lag FROM audit_standing()"
)
SESSIONS = text(
    "SELECT s.acting_role, count(*) FROM sessions s WHERE s.ended_at IS NULL AND s.expires_at > now()"
    f" AND s.last_seen_at > now() - {IDLE} GROUP BY s.acting_role ORDER BY s.acting_role"
)


def system_state(session: Session, actor: Actor, home: Path, now: datetime) -> dict[str, Any]:
    """``{"database", "trail", "sessions": [(role, open)…], "jobs": […], "failed": […], "disk"}``; ``failed``
    is the work that failed for good, ``disk`` None where the folder can't be looked at. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    database = session.execute(DATABASE).one()
    trail = session.execute(TRAIL).one()
    return {
        "database": {"version": database.version.split()[0], "revision": database.revision, "bytes": database.bytes},
        "trail": {
            "waiting": trail.waiting,
            "waitsSeconds": int(trail.lag),
            "sealed": trail.sealed,
            "sealedAt": time_text(trail.sealed_at),
            "signed": trail.signed,
            "signedAt": time_text(trail.signed_at),
            "sinks": _sinks(session, trail.signed or 0),
            "verified": _verified(session),
            "findings": list_findings(session),
            "archived": _archived(session),
        },
        "sessions": [(role, count) for role, count in session.execute(SESSIONS)],
        "jobs": _jobs(session, now),
        "failed": list_dead_letters(session, actor),
        "disk": _disk(home),
    }


def _sinks(session: Session, signed: int) -> list[dict[str, Any]]:
    """The places outside of the database, each with what it has; ``isAhead`` of what is ``signed`` here is a trail that
    was cut, or put back to what it was."""
    return [
        {
            "name": sink.name,
            "sequence": sink.sequence,
            "deliveredAt": time_text(sink.delivered_at),
            "failure": sink.failure,
            "isAhead": (sink.sequence or 0) > signed,
            "nextAttemptAt": time_text(sink.next_attempt_at),
        }
        for sink in session.scalars(select(CheckpointSink).order_by(CheckpointSink.name))
    ]


def _archived(session: Session) -> dict[str, Any] | None:
    """What left the database: ``{"files", "events", "until"}``; None where nothing did."""
    row = session.execute(
        select(func.count(), func.max(AuditArchive.last), func.max(AuditArchive.sealed_to)).where(
            AuditArchive.dropped_at.is_not(None)
        )
    ).one()
    return {"files": row[0], "events": row[1], "until": time_text(row[2])} if row[0] else None


def _verified(session: Session) -> dict[str, Any] | None:
    """The last nightly check of the trail that ended: ``{"at", "state", "rows"}``. ``state``: "intact", so many events;
    "broken" in so many places; or "failed", when it could not be made."""
    ended = select(JobRun).where(JobRun.job == VERIFY, JobRun.outcome.is_not(None))
    run = session.scalars(ended.order_by(JobRun.slot.desc()).limit(1)).one_or_none()
    if run is None:
        return None
    state = "intact" if run.outcome == "success" else "failed" if run.rows is None else "broken"
    return {"at": time_text(run.finished_at or run.started_at), "state": state, "rows": run.rows}


def _jobs(session: Session, now: datetime) -> list[dict[str, Any]]:
    """Every job of the table with its last run and its next slot."""
    newest = select(JobRun).ext(distinct_on(JobRun.job)).order_by(JobRun.job, JobRun.slot.desc())
    runs = {run.job: run for run in session.scalars(newest)}
    return [{"name": job.task, "nextAt": next_slot(job, now), **shown_run(runs.get(job.task))} for job in JOBS]


def _disk(home: Path) -> dict[str, int] | None:
    """Bytes of the disk that SIGILO_HOME lies on."""
    try:
        usage = shutil.disk_usage(home)
    except OSError:
        return None
    return {"total": usage.total, "free": usage.free}
