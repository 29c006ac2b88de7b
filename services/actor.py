"""Who acts, as what, and from where: what every service is told and every event says."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from models.user import Role
from services.errors import Forbidden
from services.permissions import Permission, permits


@dataclass(slots=True)
class Standing:
    """What an actor is remembered by, of a moment ago: it counts once a statement has confirmed it, in the same
    transaction as what it reads (``services/audited_read.py``)."""

    token_row: str  # the transaction that wrote the token's row
    user_version: int
    user_quota: str | None
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in person or a token's user. ``role`` is the one acting role; others held count for nothing."""

    user_id: uuid.UUID
    role: Role
    name: str
    council: str | None = None
    patient_id: uuid.UUID | None = None  # of a PATIENT: whose record is theirs
    scopes: frozenset[str] | None = None  # None: a person's own session, not narrowed by a token
    token_id: uuid.UUID | None = None
    session_id: uuid.UUID | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    standing: Standing | None = None  # None: who calls was looked up for this request

    def may(self, permission: Permission) -> bool:
        return permits(self.role, permission, self.scopes)

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless the acting role, and the token's scopes, allow ``permission``."""
        if not self.may(permission):
            raise Forbidden("Your role, or this token's scopes, do not allow this.")
