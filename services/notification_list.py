"""What a user was told and has not looked at yet."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Notification
from services.actor import Actor


def count_unread(session: Session, actor: Actor) -> int:
    """How many notifications wait for this user."""
    unread = select(func.count()).where(Notification.user_id == actor.user_id, Notification.read_at.is_(None))
    return session.scalar(unread) or 0
