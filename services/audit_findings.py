"""What the last check of the trail found wrong: the first of it, kept for the page that says so."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models import AuditFinding
from services.audit_report import Report

MOST_KEPT = 20


def note_findings(session: Session, report: Report) -> None:
    """As the worker: in place of what the check before found."""
    session.execute(delete(AuditFinding))
    session.add_all(
        AuditFinding(
            position=position, kind=problem.kind, first=problem.sequence, last=problem.last, event_id=problem.event_id
        )
        for position, problem in enumerate(report.problems[:MOST_KEPT])
    )


def list_findings(session: Session) -> list[dict[str, Any]]:
    """``[{"kind", "first", "last", "eventId"}]`` in the order of the trail."""
    return [
        {"kind": row.kind, "first": row.first, "last": row.last, "eventId": row.event_id}
        for row in session.scalars(select(AuditFinding).order_by(AuditFinding.position))
    ]
