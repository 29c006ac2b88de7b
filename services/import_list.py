"""The imports, newest first, and one of them: for the administrators who run them."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from models import ImportFile, ImportJob, User
from services import cursor as cursors
from services.actor import Actor
from services.errors import NotFound
from services.import_view import job_details
from services.permissions import Permission
from services.record_fields import time_text

NO_IMPORT = "There is no such import."


def list_imports(session: Session, actor: Actor, *, limit: int = 20, cursor: str | None = None) -> dict[str, Any]:
    """``{"data": [job_details…], "nextCursor"}``. Raises Forbidden, Invalid (cursor)."""
    actor.require(Permission.IMPORT)
    filters = {"list": "imports"}
    query = _jobs().order_by(ImportJob.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(ImportJob.id < cursors.decode(filters, cursor, uuid.UUID)[0])
    rows = session.execute(query).all()
    shown = rows[:limit]
    return {
        "data": [job_details(job, sender=sender, has_file=has_file) for job, sender, has_file in shown],
        "nextCursor": cursors.encode(filters, shown[-1][0].id) if len(rows) > limit else None,
    }


def get_import(session: Session, actor: Actor, job_id: uuid.UUID) -> dict[str, Any]:
    """``job_details`` with ``earlier``: when the same file was imported before, ``{id, finishedAt}``, else None.

    Raises Forbidden, NotFound.
    """
    actor.require(Permission.IMPORT)
    row = session.execute(_jobs().where(ImportJob.id == job_id)).one_or_none()
    if row is None:
        raise NotFound(NO_IMPORT)
    job, sender, has_file = row
    earlier = session.scalars(
        select(ImportJob)
        .where(ImportJob.source_digest == job.source_digest, ImportJob.state == "DONE", ImportJob.id < job.id)
        .order_by(ImportJob.id.desc())
        .limit(1)
    ).one_or_none()
    return {
        **job_details(job, sender=sender, has_file=has_file),
        "earlier": None if earlier is None else {"id": str(earlier.id), "finishedAt": time_text(earlier.finished_at)},
    }


def _jobs() -> Select[ImportJob, str, bool]:
    has_file = exists().where(ImportFile.job_id == ImportJob.id).correlate(ImportJob)
    return select(ImportJob, User.full_name, has_file).outerjoin(User, User.id == ImportJob.created_by)
