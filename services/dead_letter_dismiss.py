"""Put failed work aside for good, with a reason. Should the same work fail anew, that is a row of its own."""

from __future__ import annotations

import uuid

from sqlalchemy import func
from sqlalchemy.orm import Session

from services.actor import Actor
from services.audit_event import Event, record
from services.dead_letter_retry import open_letter
from services.record_write import require_reason


def dismiss_dead_letter(session: Session, actor: Actor, letter_id: uuid.UUID, *, reason: str) -> None:
    """Raises Forbidden, NotFound, Conflict (dealt with already), Invalid (no reason)."""
    letter = open_letter(session, actor, letter_id)
    letter.resolved_at = session.scalar(func.now())
    letter.dismissed_by, letter.dismissal_reason = actor.user_id, require_reason(reason)
    record(session, actor, Event("dead_letter.dismiss", "dead_letter", letter.id))
    session.flush()
