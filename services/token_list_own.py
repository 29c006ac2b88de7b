"""A user's own API tokens: what each may do and when it was last used. Never the token itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import ApiToken
from services.actor import Actor
from services.permissions import Permission


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token that is neither revoked nor expired."""

    id: uuid.UUID
    name: str
    role: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


def list_own_tokens(session: Session, actor: Actor) -> list[OwnToken]:
    """The caller's valid tokens, newest first. For the anonymous principal. Raises Forbidden."""
    actor.require(Permission.SELF)
    rows = session.execute(
        select(
            ApiToken.id, ApiToken.name, ApiToken.acting_role, ApiToken.scopes, ApiToken.created_at,
            ApiToken.expires_at, ApiToken.last_used_at,
        )
        .where(
            ApiToken.user_id == actor.user_id, ApiToken.revoked_at.is_(None), ApiToken.expires_at > func.now()
        )
        .order_by(ApiToken.created_at.desc(), ApiToken.id)
    )  # fmt: skip
    return [OwnToken(*row) for row in rows]
