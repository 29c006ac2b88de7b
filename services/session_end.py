"""End sessions on the server, so that a copied cookie opens nothing: this one, or those elsewhere (SECURITY 2, 5)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from models import Session as SessionRow
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import NotFound
from services.permissions import Permission


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


def end_own_session(session: Session, actor: Actor, session_id: uuid.UUID) -> None:
    """End one of the caller's own sessions. Raises Forbidden, NotFound (somebody else's, or ended already)."""
    if not _end(session, actor, SessionRow.id == session_id):
        raise NotFound("There is no such session. It may have ended already.")


def end_other_sessions(session: Session, actor: Actor) -> int:
    """End all of the caller's sessions but the one they act in; gives how many. Raises Forbidden."""
    return _end(session, actor, SessionRow.id != actor.session_id)


def _end(session: Session, actor: Actor, which: ColumnElement[bool]) -> int:
    actor.require(Permission.SELF)
    ended = session.scalars(
        update(SessionRow)
        .where(SessionRow.user_id == actor.user_id, SessionRow.ended_at.is_(None), which)
        .values(ended_at=datetime.now(UTC), ended_because="ended by its user")
        .returning(SessionRow.id)
        .execution_options(synchronize_session=False)
    ).all()
    for session_id in ended:
        record(session, actor, Event("session.end", "session", session_id))
    return len(ended)
