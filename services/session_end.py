"""Sign out: the session ends on the server, so a copied cookie opens nothing (SECURITY 2)."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from models import Session as SessionRow
from services.actor import Actor
from services.audit_event import Event, record


def end_session(session: Session, actor: Actor) -> None:
    """End the session that ``actor`` acts in. A token has none and keeps working."""
    if actor.session_id is None:
        return
    session.execute(
        update(SessionRow)
        .where(SessionRow.id == actor.session_id, SessionRow.ended_at.is_(None))
        .values(ended_at=datetime.now(UTC), ended_because="signed out")
    )
    record(session, actor, Event("session.logout", "user", actor.user_id))
