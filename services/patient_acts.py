"""What an actor may do with one patient right now, so that a page offers nothing that would be refused.

The decisions themselves are made by the services that act; a test holds both against each other.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models import BreakGlassGrant
from models.user import Role
from services.access import Standing, find_patient
from services.actor import Actor
from services.permissions import Permission


@dataclass(frozen=True, slots=True)
class PatientActs:
    in_team: bool
    edit: bool
    note_allergy: bool
    change_team: bool
    inactivate: bool  # and restore
    check_in: bool
    write_record: bool
    break_glass: bool


def patient_acts(session: Session, actor: Actor, patient_id: uuid.UUID) -> PatientActs:
    """Raises NotFound. Shows nothing of the patient: no event."""
    _, standing = find_patient(session, actor, patient_id, inactive="show")
    grant = None if standing.grant_id is None else session.get(BreakGlassGrant, standing.grant_id)
    treats = standing.in_team or not actor.role.is_clinical
    return PatientActs(
        in_team=standing.in_team,
        edit=actor.may(Permission.PATIENT_UPDATE) and treats,
        note_allergy=actor.may(Permission.ALLERGY_WRITE) and standing.in_team,
        change_team=actor.may(Permission.CARE_TEAM_WRITE) and treats,
        inactivate=_inactivates(actor, standing),
        check_in=actor.may(Permission.VISIT_WRITE) and (actor.role is not Role.NURSE or standing.in_team),
        write_record=actor.may(Permission.RECORD_CREATE) and (actor.role is not Role.NURSE or standing.in_team),
        break_glass=actor.may(Permission.BREAK_GLASS) and not standing.in_team and grant is None,
    )


def _inactivates(actor: Actor, standing: Standing) -> bool:
    is_responsible = standing.in_team and standing.is_responsible
    return actor.may(Permission.PATIENT_DELETE) and (is_responsible or actor.role is not Role.DOCTOR)
