"""Where a user is signed in now, for themselves (SECURITY 5)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.actor import Actor
from services.authenticate import IDLE
from services.permissions import Permission

LIVE = text(
    f"""
    SELECT s.id, s.acting_role, s.created_at, s.last_seen_at, s.expires_at, host(s.ip) AS ip, s.user_agent
    FROM sessions s
    WHERE s.user_id = :me AND s.ended_at IS NULL AND s.expires_at > now() AND s.last_seen_at > now() - {IDLE}
    ORDER BY s.id = :current DESC, s.last_seen_at DESC
    """
)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One sign-in that still opens the door."""

    id: uuid.UUID
    role: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None
    is_current: bool


def list_sessions(session: Session, actor: Actor) -> list[LiveSession]:
    """The caller's live sessions, the present one first. For the anonymous principal. Raises Forbidden."""
    actor.require(Permission.SELF)
    rows = session.execute(LIVE, {"me": actor.user_id, "current": actor.session_id})
    return [
        LiveSession(
            id=row.id, role=row.acting_role, created_at=row.created_at, last_seen_at=row.last_seen_at,
            expires_at=row.expires_at, ip=row.ip, user_agent=row.user_agent, is_current=row.id == actor.session_id,
        )
        for row in rows
    ]  # fmt: skip
