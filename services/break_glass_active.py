"""Whether somebody sees a patient in the clear right now because they broke the glass, and until when."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models import BreakGlassGrant
from services.access import STANDING
from services.actor import Actor


@dataclass(frozen=True, slots=True)
class ActiveGrant:
    """A grant that is what opens the door; ``reason`` is its owner's own text."""

    grant_id: uuid.UUID
    reason: str
    expires_at: datetime

    @property
    def seconds_left(self) -> int:
        """Whole seconds until it ends, rounded up."""
        return max(0, -int((datetime.now(UTC) - self.expires_at).total_seconds() // 1))


def active_grant(session: Session, actor: Actor, patient_id: uuid.UUID) -> ActiveGrant | None:
    """The grant under which ``actor`` reads this patient now; None when none runs, and on the care team."""
    if not actor.role.is_clinical:
        return None
    found = session.execute(
        STANDING, {"patient": patient_id, "me": actor.user_id, "role": actor.role.value}
    ).one()
    if found.in_team or found.grant_id is None:
        return None
    grant = session.get_one(BreakGlassGrant, found.grant_id)
    return ActiveGrant(grant.id, grant.reason, grant.expires_at)
