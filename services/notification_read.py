"""Mark what one was told as read."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from models import Notification
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import NotFound
from services.permissions import Permission


def mark_read(session: Session, actor: Actor, notification_id: uuid.UUID) -> None:
    """Marking twice keeps the first time. Raises Forbidden, NotFound (somebody else's)."""
    actor.require(Permission.NOTIFICATION_READ)
    notification = session.get(Notification, notification_id, with_for_update=True)
    if notification is None or notification.user_id != actor.user_id:
        raise NotFound("There is no such notice.")
    if notification.read_at is None:
        notification.read_at = datetime.now(UTC)
        session.flush()
        record(session, actor, Event("notification.mark_read", "notification", notification.id))


def mark_all_read(session: Session, actor: Actor) -> int:
    """Mark everything that waits as read; gives how many. Raises Forbidden."""
    actor.require(Permission.NOTIFICATION_READ)
    marked = session.scalars(
        update(Notification)
        .where(Notification.user_id == actor.user_id, Notification.read_at.is_(None))
        .values(read_at=datetime.now(UTC))
        .returning(Notification.id)
        .execution_options(synchronize_session=False)
    ).all()
    if marked:
        record(session, actor, Event("notification.mark_read", "notification", entity_ids=tuple(marked)))
    return len(marked)
