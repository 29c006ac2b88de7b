"""What an import refused, page by page: where it stood and why, never what it said."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import ImportReject
from services import cursor as cursors
from services.actor import Actor
from services.permissions import Permission


def list_rejects(
    session: Session, actor: Actor, job_id: uuid.UUID, *, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """``{"data": [{id, file, line, pointer, reason}], "nextCursor"}`` in the order of the refusals; of an unknown
    import none. Raises Forbidden, Invalid (cursor)."""
    actor.require(Permission.IMPORT)
    filters = {"list": "import-rejects", "job": job_id}
    query = select(ImportReject).where(ImportReject.job_id == job_id).order_by(ImportReject.id).limit(limit + 1)
    if cursor is not None:
        query = query.where(ImportReject.id > cursors.decode(filters, cursor, uuid.UUID)[0])
    rows = session.scalars(query).all()
    shown = rows[:limit]
    return {
        "data": [
            {"id": str(row.id), "file": row.file, "line": row.line, "pointer": row.pointer, "reason": row.reason}
            for row in shown
        ],
        "nextCursor": cursors.encode(filters, shown[-1].id) if len(rows) > limit else None,
    }
