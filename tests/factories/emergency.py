"""Emergency accesses that were, or run."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from config import Principal
from models import BreakGlassGrant, new_id
from models.engine import Databases
from tests.factories.cast import Person

REASON = "EMERGENCY: Plantão, dor no peito"


def make_grant(
    databases: Databases, person: Person, patient_id: uuid.UUID, *, minutes_left: float = -1, reason: str = REASON
) -> uuid.UUID:
    """A grant that ends ``minutes_left`` from now, after half an hour; nobody was told and no event written."""
    ends = datetime.now(UTC) + timedelta(minutes=minutes_left)
    grant = BreakGlassGrant(
        id=new_id(), patient_id=patient_id, user_id=person.id, acting_role=person.actor.role.value, reason=reason,
        granted_at=ends - timedelta(minutes=30), expires_at=ends,
    )  # fmt: skip
    with databases.session(Principal.STAFF) as session:
        session.add(grant)
    return grant.id
