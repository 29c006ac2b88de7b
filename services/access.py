"""How an actor stands to a patient and to a record: the object half of every access decision.

Reading and writing differ on purpose: break-glass opens reading for half an hour and never writing, and an
author sees what they wrote from outside the team but joins nothing by it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import MedicalRecord, Patient
from models.user import Role
from services.actor import Actor
from services.errors import Gone, NotFound
from services.masking import Relation, role_relation

NO_PATIENT = "There is no such patient."
NO_RECORD = "There is no such record."

# One predicate, used by SQL reads too: a membership that has neither ended nor run out.
CURRENT_MEMBER = "m.removed_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now())"

STANDING = text(
    f"""
    SELECT
        EXISTS (
            SELECT FROM care_team_members m
            WHERE m.patient_id = :patient AND m.user_id = :me AND {CURRENT_MEMBER}
        ) AS in_team,
        (
            SELECT g.id FROM break_glass_grants g
            WHERE g.patient_id = :patient AND g.user_id = :me AND g.acting_role = :role AND g.expires_at > now()
            ORDER BY g.expires_at DESC LIMIT 1
        ) AS grant_id
    """
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one actor stands to one patient right now."""

    relation: Relation  # for reading, break-glass included
    in_team: bool  # for writing: on the team, acting as doctor or nurse
    is_responsible: bool
    grant_id: uuid.UUID | None  # the break-glass grant, where that is what opens the door

    def basis(self, *, is_author: bool = False) -> str:
        """Why this actor sees what they see, for the event: shown to the patient in plain words."""
        if self.in_team:
            return "care-team"
        if self.grant_id is not None:
            return "break-glass"
        return "author" if is_author else self.relation.value


def patient_standing(session: Session, actor: Actor, patient: Patient) -> Standing:
    """How ``actor`` stands to ``patient``. Raises NotFound for somebody else's patient of a PATIENT."""
    if actor.role is Role.PATIENT and actor.patient_id != patient.id:
        raise NotFound(NO_PATIENT)
    in_team, grant_id = False, None
    if actor.role.is_clinical:
        row = session.execute(
            STANDING, {"patient": patient.id, "me": actor.user_id, "role": actor.role.value}
        ).one()
        in_team = row.in_team
        grant_id = None if in_team else row.grant_id
    return Standing(
        relation=role_relation(actor.role, in_team=in_team or grant_id is not None),
        in_team=in_team,
        is_responsible=actor.role is Role.DOCTOR and patient.responsible_id == actor.user_id,
        grant_id=grant_id,
    )


def find_patient(
    session: Session,
    actor: Actor,
    patient_id: uuid.UUID,
    *,
    inactive: Literal["refuse", "show"] = "refuse",
    lock: bool = False,
) -> tuple[Patient, Standing]:
    """The patient and how ``actor`` stands to them.

    Raises NotFound for an unknown patient (and for a PATIENT anybody else's), Gone for an inactivated one.
    ``lock`` takes the row for a change.
    """
    patient = session.get(Patient, patient_id, with_for_update=lock or None, populate_existing=lock)
    if patient is None:
        raise NotFound(NO_PATIENT)
    standing = patient_standing(session, actor, patient)
    if patient.deleted_at is not None and inactive == "refuse":
        if actor.role is Role.PATIENT:
            raise NotFound(NO_PATIENT)
        raise Gone("This patient was inactivated.")
    return patient, standing


@dataclass(frozen=True, slots=True)
class RecordAccess:
    """A record, its patient, and how the actor stands to both."""

    record: MedicalRecord
    patient: Patient
    standing: Standing
    is_author: bool

    @property
    def relation(self) -> Relation:
        """For reading this record: authors see what they wrote."""
        return Relation.CARE_TEAM if self.is_author else self.standing.relation

    @property
    def basis(self) -> str:
        return self.standing.basis(is_author=self.is_author)


def find_record(
    session: Session,
    actor: Actor,
    record_id: uuid.UUID,
    *,
    inactive: Literal["refuse", "show"] = "refuse",
    lock: bool = False,
) -> RecordAccess:
    """The record for this actor. Raises NotFound, or Gone for an inactive one they may know of."""
    record = session.get(MedicalRecord, record_id, with_for_update=lock or None, populate_existing=lock)
    if record is None:
        raise NotFound(NO_RECORD)
    patient = session.get_one(Patient, record.patient_id)
    try:
        standing = patient_standing(session, actor, patient)
    except NotFound:
        raise NotFound(NO_RECORD) from None
    access = RecordAccess(
        record=record,
        patient=patient,
        standing=standing,
        is_author=actor.role.is_clinical and record.author_id == actor.user_id,
    )
    if record.deleted_at is not None:
        if access.relation is not Relation.CARE_TEAM:
            raise NotFound(NO_RECORD)
        if inactive == "refuse":
            raise Gone("This record was inactivated. Restore it, or ask for it with includeDeleted.")
    return access
