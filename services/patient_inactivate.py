"""Inactivate a patient who was registered by mistake, with a reason, and restore them. Nothing is erased."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Visit
from models.user import Role
from services.access import find_patient
from services.actor import Actor
from services.errors import Conflict, Forbidden, Gone, StaleVersion
from services.field_encryption import FieldCipher
from services.patient_fields import content_of
from services.patient_get import INACTIVE
from services.patient_write import PatientAccess, save
from services.permissions import Permission
from services.record_write import require_reason
from services.visit_fields import OPEN


def inactivate_patient(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    patient_id: uuid.UUID,
    *,
    reason: str | None,
    version: int | None = None,
) -> PatientAccess:
    """Raises Forbidden, NotFound, Gone (inactive already), Invalid (no reason), Conflict (a visit is open),
    StaleVersion when a ``version`` was named and is not the current one."""
    access = _changeable(session, actor, patient_id)
    patient = access.patient
    if patient.deleted_at is not None:
        raise Gone(INACTIVE)
    reason = require_reason(reason)
    if version is not None and version != patient.version:
        raise StaleVersion(patient.version, ())
    if session.scalar(select(Visit.id).where(Visit.patient_id == patient_id, Visit.status.in_(OPEN)).limit(1)):
        raise Conflict("This patient has an open visit. Close it first.")
    before = content_of(cipher, patient)
    patient.deleted_at = patient.updated_at = datetime.now(UTC)
    patient.deleted_by = actor.user_id
    patient.deletion_reason = reason
    save(session, actor, cipher, access, action="patient.delete", before=before, reason=reason)
    return access


def restore_patient(
    session: Session, actor: Actor, cipher: FieldCipher, patient_id: uuid.UUID, *, reason: str | None
) -> PatientAccess:
    """Raises Forbidden, NotFound, Conflict (they are active), Invalid (no reason)."""
    access = _changeable(session, actor, patient_id)
    patient = access.patient
    reason = require_reason(reason)
    if patient.deleted_at is None:
        raise Conflict("This patient is active; there is nothing to restore.")
    before = content_of(cipher, patient)
    patient.deleted_at = patient.deleted_by = patient.deletion_reason = None
    patient.updated_at = datetime.now(UTC)
    save(session, actor, cipher, access, action="patient.restore", before=before, reason=reason)
    return access


def _changeable(session: Session, actor: Actor, patient_id: uuid.UUID) -> PatientAccess:
    actor.require(Permission.PATIENT_DELETE)
    patient, standing = find_patient(session, actor, patient_id, inactive="show", lock=True)
    if actor.role is Role.DOCTOR and not (standing.in_team and standing.is_responsible):
        raise Forbidden("Only the patient's responsible doctor, or reception, may do this.")
    return PatientAccess(patient, standing)
