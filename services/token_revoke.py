"""Revoke a token: the next request that carries it is refused. An administrator anybody's, a user their own; and all
of a user's, when the user is disabled, their password is reset, or the role is taken that they act as."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import ApiToken, Role
from services.actor import Actor
from services.audit_event import Event, Origin, record
from services.errors import NotFound
from services.permissions import Permission


def revoke_token(session: Session, actor: Actor | Origin, user_id: uuid.UUID, token_id: uuid.UUID) -> None:
    """Doing it twice changes nothing. Raises Forbidden, NotFound (no such token of this user)."""
    if isinstance(actor, Actor) and user_id != actor.user_id:
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


def revoke_tokens_of(session: Session, actor: Actor | Origin, user_id: uuid.UUID, *, role: Role | None = None) -> None:
    """Revoke every token of the user, or those that act as ``role``, with an event each. The caller has seen that
    ``actor`` may."""
    revoked = update(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
    if role is not None:
        revoked = revoked.where(ApiToken.acting_role == role.value)
    for token_id in session.scalars(revoked.values(revoked_at=func.now()).returning(ApiToken.id)).all():
        record(session, actor, Event("token.revoke", "token", token_id))
