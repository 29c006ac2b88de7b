"""What the last check of the trail found wrong: the first of it, kept for the page that says so; and the alarm that it
raises, which stays until an auditor has taken note of it. Whoever keeps the server may be who broke the trail, so no
administrator can make it unsaid."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import AuditAlarm, AuditFinding, new_id
from services.actor import Actor
from services.audit_event import SYSTEM, Event, record
from services.audit_report import Report
from services.errors import Invalid, NotFound
from services.permissions import Permission
from services.record_fields import time_text

MOST_KEPT = 20
NOTE_MAX = 2000
NO_ALARM = "There is nothing to take note of: the trail was found intact, or another auditor has done so."


def note_findings(session: Session, report: Report, gone: Sequence[uuid.UUID] = ()) -> None:
    """As the worker: in place of what the check before found. ``gone``: alarms whose rows somebody took away, which are
    open again, or will be when no other is."""
    session.execute(delete(AuditFinding))
    session.add_all(
        AuditFinding(
            position=position, kind=problem.kind, first=problem.sequence, last=problem.last, event_id=problem.event_id
        )
        for position, problem in enumerate(report.problems[:MOST_KEPT])
    )
    for alarm_id in gone:
        session.execute(insert(AuditAlarm).values(id=alarm_id, places=1).on_conflict_do_nothing())
    if report.problem_count:
        _raise_alarm(session, report.problem_count)


def _raise_alarm(session: Session, places: int) -> None:
    """One that is open already goes on."""
    alarm_id = new_id()
    found = insert(AuditAlarm).values(id=alarm_id, places=places)
    more = {"last_found_at": func.now(), "places": func.greatest(AuditAlarm.places, found.excluded.places)}
    opened = session.scalar(
        found.on_conflict_do_update(
            index_elements=[text("(noted_at IS NULL)")], index_where=AuditAlarm.noted_at.is_(None), set_=more
        ).returning(AuditAlarm.id)
    )
    if opened == alarm_id:  # an event too: a row that is taken away is missed (services/audit_alarm_check.py)
        record(session, SYSTEM, Event("audit_alarm.create", "audit_alarm", alarm_id))


def open_alarm(session: Session) -> dict[str, Any] | None:
    """``{"id", "foundAt", "lastFoundAt", "places"}`` of what no auditor took note of; None when there is none."""
    row = session.scalars(select(AuditAlarm).where(AuditAlarm.noted_at.is_(None))).one_or_none()
    if row is None:
        return None
    return {
        "id": str(row.id), "foundAt": time_text(row.found_at), "lastFoundAt": time_text(row.last_found_at),
        "places": row.places,
    }  # fmt: skip


def take_note(session: Session, actor: Actor, *, note: str) -> None:
    """The auditor has taken note of the open alarm, and says what it was: in ``session``'s transaction, as the auditor.

    Raises Forbidden, NotFound when none is open, Invalid (no note, or a longer one than ``NOTE_MAX``).
    """
    actor.require(Permission.ALERT_REVIEW)
    alarm = session.scalars(select(AuditAlarm).where(AuditAlarm.noted_at.is_(None)).with_for_update()).one_or_none()
    if alarm is None:
        raise NotFound(NO_ALARM)
    stated = note.strip()
    if not 0 < len(stated) <= NOTE_MAX:
        raise Invalid.at("/note", "say what it was and what follows")
    alarm.noted_at, alarm.noted_by, alarm.note = datetime.now(UTC), actor.user_id, stated
    record(session, actor, Event("audit_alarm.note", "audit_alarm", alarm.id))
    session.flush()


def list_findings(session: Session) -> list[dict[str, Any]]:
    """``[{"kind", "first", "last", "eventId"}]`` in the order of the trail."""
    return [
        {"kind": row.kind, "first": row.first, "last": row.last, "eventId": row.event_id}
        for row in session.scalars(select(AuditFinding).order_by(AuditFinding.position))
    ]
