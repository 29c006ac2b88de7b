"""Add a doctor or nurse to a patient's care team."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models import CareTeamMember, Patient
from models.user import Role
from services.access import Standing, find_patient
from services.actor import Actor
from services.author import Author, author_of
from services.care_team_write import NOT_ONESELF, join, require_active
from services.errors import Forbidden
from services.field_encryption import FieldCipher
from services.permissions import Permission


@dataclass(frozen=True, slots=True)
class Membership:
    member: CareTeamMember
    person: Author
    is_new: bool  # whether they were not on the team before


def add_member(
    session: Session, actor: Actor, cipher: FieldCipher, patient_id: uuid.UUID, user_id: uuid.UUID
) -> Membership:
    """Raises Forbidden (outside the team, or oneself), NotFound, Gone, Invalid (no active doctor or nurse).
    Adding a member changes nothing, except that a visit's membership now stays."""
    patient, _ = team_to_change(session, actor, patient_id, user_id)
    require_active(session, user_id, Role.DOCTOR, Role.NURSE, pointer="/userId")
    member, is_new = join(session, actor, cipher, patient, user_id, "ADDED")
    return Membership(member, author_of(session, user_id), is_new)


def team_to_change(
    session: Session, actor: Actor, patient_id: uuid.UUID, user_id: uuid.UUID
) -> tuple[Patient, Standing]:
    """The patient, locked, if ``actor`` may change ``user_id``'s place in their team."""
    actor.require(Permission.CARE_TEAM_WRITE)
    patient, standing = find_patient(session, actor, patient_id, lock=True)
    if actor.role is Role.DOCTOR and not standing.in_team:
        raise Forbidden("Only a doctor of the care team, or reception, changes it.")
    if user_id == actor.user_id:
        raise Forbidden(NOT_ONESELF)
    return patient, standing
