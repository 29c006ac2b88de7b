"""Put failed work aside for good, with a reason. Should the same work fail anew, that is a row of its own."""

from __future__ import annotations

import uuid

from sqlalchemy import func
from sqlalchemy.orm import Session

from services.actor import Actor
from services.audit_event import Event, record
from services.audit_findings import open_alarm
from services.dead_letter_retry import open_letter
from services.errors import Conflict
from services.job_schedule import VERIFY
from services.record_write import require_reason

BROKEN = "TrailBroken"  # a check that was made (tasks/audit.py), of which auditors know
NOT_MADE = "The trail could not be checked. This stays until it was: whoever keeps the server does not put that aside."
NOT_NOTED = "The trail was found not intact, and no auditor has taken note of that yet. Until then this stays."


def dismiss_dead_letter(session: Session, actor: Actor, letter_id: uuid.UUID, *, reason: str) -> None:
    """Raises Forbidden, NotFound, Conflict (dealt with already, or the trail was not
    intact and no auditor took note of it yet, or could not be checked), Invalid (no reason)."""
    letter = open_letter(session, actor, letter_id)
    if letter.task == VERIFY and letter.error != BROKEN:
        raise Conflict(NOT_MADE)
    if letter.task == VERIFY and open_alarm(session) is not None:
        raise Conflict(NOT_NOTED)
    letter.resolved_at = session.scalar(func.now())
    letter.dismissed_by, letter.dismissal_reason = actor.user_id, require_reason(reason)
    record(session, actor, Event("dead_letter.dismiss", "dead_letter", letter.id))
    session.flush()
