"""Whose API calls are counted by a quota of their own, and who could have one: users with it, or with live tokens."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models import ApiToken, User
from services.actor import Actor
from services.errors import NotFound
from services.permissions import Permission
from services.record_fields import time_text

HOLDERS_MAX = 200
NO_USER = "There is no such user."
NO_TOKEN = "There is no such token."  # noqa: S105


def list_quota_holders(session: Session, actor: Actor) -> dict[str, Any]:
    """``{"data": [{id, name, quota, tokens: [token…]}], "hasMore"}`` by name, at most HOLDERS_MAX; never a secret.

    ``quota`` is None where the one above holds: a user's stands for their tokens, the default for users.
    Raises Forbidden.
    """
    actor.require(Permission.USER_MANAGE)
    with_token = select(ApiToken.user_id).where(_is_live())
    users = session.execute(
        select(User.id, User.full_name, User.quota)
        .where(User.disabled_at.is_(None), or_(User.quota.is_not(None), User.id.in_(with_token)))
        .order_by(User.full_name, User.id)
        .limit(HOLDERS_MAX + 1)
    ).all()
    shown = users[:HOLDERS_MAX]
    tokens: dict[uuid.UUID, list[dict[str, Any]]] = {}
    for token in session.scalars(
        select(ApiToken).where(_is_live(), ApiToken.user_id.in_([user.id for user in shown])).order_by(ApiToken.id)
    ):
        tokens.setdefault(token.user_id, []).append(_token(token))
    return {
        "data": [
            {"id": str(user.id), "name": user.full_name, "quota": user.quota, "tokens": tokens.get(user.id, [])}
            for user in shown
        ],
        "hasMore": len(users) > HOLDERS_MAX,
    }


def get_user_quota(session: Session, actor: Actor, user_id: uuid.UUID) -> dict[str, Any]:
    """``{id, name, quota}``. Raises Forbidden, NotFound."""
    actor.require(Permission.USER_MANAGE)
    row = session.execute(select(User.id, User.full_name, User.quota).where(User.id == user_id)).one_or_none()
    if row is None:
        raise NotFound(NO_USER)
    return {"id": str(row.id), "name": row.full_name, "quota": row.quota}


def get_token_quota(session: Session, actor: Actor, token_id: uuid.UUID) -> dict[str, Any]:
    """``{id, name, quota, user, userQuota}``. Raises Forbidden, NotFound."""
    actor.require(Permission.USER_MANAGE)
    row = session.execute(
        select(ApiToken.id, ApiToken.name, ApiToken.quota, User.full_name, User.quota.label("user_quota"))
        .join(User, User.id == ApiToken.user_id)
        .where(ApiToken.id == token_id)
    ).one_or_none()
    if row is None:
        raise NotFound(NO_TOKEN)
    return {
        "id": str(row.id), "name": row.name, "quota": row.quota, "user": row.full_name, "userQuota": row.user_quota,
    }  # fmt: skip


def _is_live() -> Any:
    return ApiToken.revoked_at.is_(None) & (ApiToken.expires_at > func.now())


def _token(token: ApiToken) -> dict[str, Any]:
    return {
        "id": str(token.id),
        "name": token.name,
        "quota": token.quota,
        "expiresAt": time_text(token.expires_at),
        "lastUsedAt": time_text(token.last_used_at),
    }
