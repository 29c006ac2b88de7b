"""Which of some patients the actor treats: a mark in lists."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.access import CURRENT_MEMBER
from services.actor import Actor

MINE = text(
    "SELECT m.patient_id FROM care_team_members m "
    f"WHERE m.user_id = :me AND m.patient_id = ANY(:patients) AND {CURRENT_MEMBER}"
)


def own_patients(session: Session, actor: Actor, patient_ids: Collection[uuid.UUID]) -> frozenset[uuid.UUID]:
    """Those of ``patient_ids`` whose care team the actor is on now, acting as doctor or nurse. One statement.

    It says something of the actor and nothing new of a patient who is shown already: no event.
    """
    if not actor.role.is_clinical or not patient_ids:
        return frozenset()
    return frozenset(session.scalars(MINE, {"me": actor.user_id, "patients": list(patient_ids)}))
