"""Mark failed work as sent to the workers again. Whoever calls this sends it, after the commit."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from models import DeadLetter
from services.actor import Actor
from services.audit_event import Event, record
from services.dead_letter_list import NO_LETTER, may_retry
from services.errors import Conflict, NotFound
from services.permissions import Permission

DEALT_WITH = "This was dealt with already: it succeeded meanwhile, or somebody dismissed it."
INCOMPLETE = "Not everything this work was asked to do is kept here, so it can't be sent again. Start it anew."


def retry_dead_letter(session: Session, actor: Actor, letter_id: uuid.UUID) -> tuple[str, dict[str, Any]]:
    """``(task, arguments)`` of the message to send; those of a timed job have its ``slot`` among them. The row stays
    open until the work succeeds, so it may be sent once more. Raises Forbidden, NotFound, Conflict."""
    letter = open_letter(session, actor, letter_id)
    if not may_retry(letter):
        raise Conflict(INCOMPLETE)
    letter.retried_at = session.scalar(func.clock_timestamp())
    letter.retried_by = actor.user_id
    record(session, actor, Event("dead_letter.retry", "dead_letter", letter.id))
    session.flush()
    slot = {} if letter.slot is None else {"slot": letter.slot.isoformat()}
    return letter.task, letter.arguments | slot


def open_letter(session: Session, actor: Actor, letter_id: uuid.UUID) -> DeadLetter:
    """The row, locked. Raises Forbidden, NotFound, Conflict (dealt with already)."""
    actor.require(Permission.USER_MANAGE)
    letter = session.get(DeadLetter, letter_id, with_for_update=True)
    if letter is None:
        raise NotFound(NO_LETTER)
    if letter.resolved_at is not None:
        raise Conflict(DEALT_WITH)
    return letter
