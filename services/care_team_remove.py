"""Remove somebody from a patient's care team."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from services.actor import Actor
from services.care_team_add import team_to_change
from services.care_team_write import check_responsible, current_member, hand_over, leave
from services.errors import Conflict, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.patient_fields import content_of
from services.patient_write import PatientAccess, save

NAME_ANOTHER = "This doctor is responsible for the patient. Name who takes over: responsibleId in the body."


def remove_member(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    patient_id: uuid.UUID,
    user_id: uuid.UUID,
    *,
    responsible_id: uuid.UUID | None = None,
) -> None:
    """``responsible_id`` names who takes over, which removing the responsible doctor needs.

    Raises Forbidden (outside the team, or oneself), NotFound (no such patient, or not on the team), Gone,
    Conflict (the responsible doctor, and nobody named), Invalid.
    """
    patient, standing = team_to_change(session, actor, patient_id, user_id)
    member = current_member(session, patient.id, user_id)
    if member is None:
        raise NotFound("This person is not on the patient's care team.")
    if patient.responsible_id == user_id:
        if responsible_id is None:
            raise Conflict(NAME_ANOTHER)
        if responsible_id == user_id:
            raise Invalid.at("/responsibleId", "another doctor than the one who leaves")
        check_responsible(session, actor, responsible_id)
        before = content_of(cipher, patient)
        patient.responsible_id = responsible_id
        patient.updated_at = datetime.now(UTC)
        save(session, actor, cipher, PatientAccess(patient, standing), action="patient.update", before=before)
        hand_over(session, actor, cipher, patient, user_id)
    leave(session, actor, cipher, patient, member)
