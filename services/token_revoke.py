"""Revoke a token: the next request that carries it is refused. An administrator anybody's, a user their own."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import ApiToken
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import NotFound
from services.permissions import Permission


def revoke_token(session: Session, actor: Actor, user_id: uuid.UUID, token_id: uuid.UUID) -> None:
    """Doing it twice changes nothing. Raises Forbidden, NotFound (no such token of this user)."""
    if user_id != actor.user_id:
        actor.require(Permission.USER_MANAGE)
    token = session.scalars(
        select(ApiToken).where(ApiToken.id == token_id, ApiToken.user_id == user_id).with_for_update()
    ).one_or_none()
    if token is None:
        raise NotFound("There is no such token.")
    if token.revoked_at is not None:
        return
    token.revoked_at = func.now()
    session.flush()
    record(session, actor, Event("token.revoke", "token", token.id))
