"""Check a patient in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Patient, Visit, new_id
from models.record import PRIORITIES
from models.user import Role
from services.access import Standing, find_patient
from services.actor import Actor
from services.care_team_write import require_active
from services.errors import Conflict, FieldError, Forbidden, Invalid
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.visit_fields import OPEN
from services.visit_write import save

REASON_MAX = 200


@dataclass(frozen=True, slots=True)
class NewVisit:
    patient_id: uuid.UUID
    reason: str
    priority: str
    doctor_id: uuid.UUID | None = None  # whom the patient waits for, where it is somebody in particular


def create_visit(session: Session, actor: Actor, cipher: FieldCipher, new: NewVisit) -> tuple[Visit, Patient]:
    """The visit, WAITING. Raises Forbidden, NotFound, Gone, Invalid, Conflict (one is open already)."""
    actor.require(Permission.VISIT_WRITE)
    patient, standing = find_patient(session, actor, new.patient_id, lock=True)
    require_desk(actor, standing)
    _check(new)
    if new.doctor_id is not None:
        require_active(session, new.doctor_id, Role.DOCTOR, pointer="/doctorId")
    # The patient's row is locked, so nobody checks them in, or inactivates them, at the same moment.
    if session.scalar(select(Visit.id).where(Visit.patient_id == patient.id, Visit.status.in_(OPEN))):
        raise Conflict("This patient has an open visit. Close it before a new one begins.")
    visit = Visit(
        id=new_id(),
        patient_id=patient.id,
        reason=new.reason,
        priority=new.priority,
        status="WAITING",
        doctor_id=new.doctor_id,
        checked_in_by=actor.user_id,
        arrived_at=datetime.now(UTC),
    )
    session.add(visit)
    save(session, actor, cipher, visit, patient, standing, action="visit.create", before=None)
    return visit, patient


def require_desk(actor: Actor, standing: Standing) -> None:
    """Doctors and reception manage anybody's visit, nurses their team's patients'. Raises Forbidden."""
    if actor.role is Role.NURSE and not standing.in_team:
        raise Forbidden("You are not on this patient's care team. Ask reception, or to be added to it.")


def _check(new: NewVisit) -> None:
    errors = []
    if not new.reason.strip() or len(new.reason) > REASON_MAX:
        errors.append(FieldError("/reason", f"1 to {REASON_MAX} characters, not only spaces"))
    if new.priority not in PRIORITIES:
        errors.append(FieldError("/priority", f"one of {', '.join(PRIORITIES)}"))
    if errors:
        raise Invalid("The visit has fields that can't be accepted.", errors)
