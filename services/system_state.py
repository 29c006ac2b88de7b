"""How the installation stands: versions, the trail, timed jobs, sessions, space. Numbers and times, nobody's data."""

from __future__ import annotations

import shutil
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from config import Settings
from models import AuditArchive, JobRun
from services.actor import Actor
from services.audit_checkpoint import signer_of
from services.audit_findings import list_findings
from services.authenticate import IDLE
from services.backup_standing import backup_standing
from services.base_backups import base_backups
from services.dead_letter_list import list_dead_letters
from services.job_run_list import next_slot, shown_run
from services.job_schedule import JOBS
from services.permissions import Permission
from services.record_fields import time_text
from services.trail_state import trail_state
from services.wal_archive import wal_archive

DATABASE = text(
    "SELECT current_setting('server_version') AS version, (SELECT version_num FROM alembic_version) AS revision,"
    " pg_database_size(current_database()) AS bytes"
)
SESSIONS = text(
    "SELECT s.acting_role, count(*) FROM sessions s WHERE s.ended_at IS NULL AND s.expires_at > now()"
    f" AND s.last_seen_at > now() - {IDLE} GROUP BY s.acting_role ORDER BY s.acting_role"
)


def system_state(session: Session, actor: Actor, settings: Settings, now: datetime) -> dict[str, Any]:
    """``{"database", "trail", "sessions": [(role, open)…], "jobs": […], "failed": […], "disk", "backups", "archive",
    "bases"}``; ``failed`` is the work that failed for good, ``disk`` None where the folder can't be looked at,
    ``backups`` as ``services/backup_standing.py`` has it, ``archive`` as ``services/wal_archive.py``, ``bases`` as
    ``services/base_backups.py``. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    database = session.execute(DATABASE).one()
    return {
        "database": {"version": database.version.split()[0], "revision": database.revision, "bytes": database.bytes},
        "trail": {
            **trail_state(session, signer_of(settings).trusted, now),
            "findings": list_findings(session),
            "archived": _archived(session),
        },
        "sessions": [(role, count) for role, count in session.execute(SESSIONS)],
        "jobs": _jobs(session, now, settings.timezone),
        "failed": list_dead_letters(session, actor),
        "disk": _disk(settings.sigilo_home),
        "backups": backup_standing(session),
        "archive": wal_archive(session),
        "bases": base_backups(session),
    }


def _archived(session: Session) -> dict[str, Any] | None:
    """What left the database: ``{"files", "events", "until"}``; None where nothing did."""
    row = session.execute(
        select(func.count(), func.max(AuditArchive.last), func.max(AuditArchive.sealed_to)).where(
            AuditArchive.dropped_at.is_not(None)
        )
    ).one()
    return {"files": row[0], "events": row[1], "until": time_text(row[2])} if row[0] else None


def _jobs(session: Session, now: datetime, clinic: tzinfo) -> list[dict[str, Any]]:
    """Every job of the table with its last run and its next slot."""
    newest = select(JobRun).ext(distinct_on(JobRun.job)).order_by(JobRun.job, JobRun.slot.desc())
    runs = {run.job: run for run in session.scalars(newest)}
    return [{"name": job.task, "nextAt": next_slot(job, now, clinic), **shown_run(runs.get(job.task))} for job in JOBS]


def _disk(home: Path) -> dict[str, int] | None:
    """Bytes of the disk that SIGILO_HOME lies on."""
    try:
        usage = shutil.disk_usage(home)
    except OSError:
        return None
    return {"total": usage.total, "free": usage.free}
