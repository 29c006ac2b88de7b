"""What failed for good and was not dealt with: all of it, one of it, and how much there is."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import DeadLetter, User
from services.actor import Actor
from services.errors import NotFound
from services.permissions import Permission
from services.record_fields import time_text

MOST_SHOWN = 50
NO_LETTER = "There is no such failed work."
# How many are open; of what the anonymous role may see.
OPEN = "SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL"


def list_dead_letters(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """The open ones, the newest failure first, at most ``MOST_SHOWN``: see ``_shown``. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    rows = session.execute(
        select(DeadLetter, User.full_name)
        .outerjoin(User, User.id == DeadLetter.retried_by)
        .where(DeadLetter.resolved_at.is_(None))
        .order_by(DeadLetter.failed_at.desc(), DeadLetter.id)
        .limit(MOST_SHOWN)
    )
    return [_shown(letter, name) for letter, name in rows]


def get_dead_letter(session: Session, actor: Actor, letter_id: uuid.UUID) -> dict[str, Any]:
    """One, open or not. Raises Forbidden, NotFound."""
    actor.require(Permission.USER_MANAGE)
    found = session.execute(
        select(DeadLetter, User.full_name)
        .outerjoin(User, User.id == DeadLetter.retried_by)
        .where(DeadLetter.id == letter_id)
    ).one_or_none()
    if found is None:
        raise NotFound(NO_LETTER)
    return _shown(*found)


def _shown(letter: DeadLetter, retried_by: str | None) -> dict[str, Any]:
    """``isWaiting``: somebody sent it to the workers again, and it has not failed since."""
    return {
        "id": str(letter.id),
        "task": letter.task,
        "queue": letter.queue,
        "arguments": letter.arguments,
        "slot": time_text(letter.slot),
        "error": letter.error,
        "taskId": letter.task_id,
        "attempts": letter.attempts,
        "firstFailedAt": time_text(letter.first_failed_at),
        "failedAt": time_text(letter.failed_at),
        "retriedAt": time_text(letter.retried_at),
        "retriedBy": retried_by,
        "resolvedAt": time_text(letter.resolved_at),
        "dismissalReason": letter.dismissal_reason,
        "isOpen": letter.resolved_at is None,
        "isWaiting": letter.retried_at is not None and letter.retried_at > letter.failed_at,
        "mayRetry": may_retry(letter),
    }


def may_retry(letter: DeadLetter) -> bool:
    """Whether the work can be sent again as it was: nothing of its arguments was left out."""
    return None not in letter.arguments.values()
