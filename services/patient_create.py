"""Register a patient."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import Patient, new_id
from models.user import Role
from services.access import patient_standing
from services.actor import Actor
from services.care_team_write import check_responsible, join
from services.errors import FieldError, Forbidden, Invalid
from services.field_encryption import FieldCipher
from services.patient_write import PatientAccess, checked, flush, refuse_duplicate, save, set_content
from services.permissions import Permission

AUDIT_KEY_BYTES = 32


def create_patient(session: Session, actor: Actor, cipher: FieldCipher, content: Mapping[str, Any]) -> PatientAccess:
    """The patient as registered from ``content`` (API names → typed values); text stays as it was typed.

    The registering doctor becomes responsible and joins the care team; reception may name the responsible
    doctor (``responsibleId``). An unidentified person needs a description as ``fullName`` and a ``sex``, which
    may be UNKNOWN. Raises Forbidden, Invalid, DuplicateIdentifier (a CPF or CNS that a patient has; entry
    points wrap this in ``identifier_lookup.counted_duplicates``).
    """
    actor.require(Permission.PATIENT_CREATE)
    values = {name: value for name, value in content.items() if value is not None}
    missing = [FieldError(f"/{name}", "required") for name in ("fullName", "sex") if name not in values]
    if missing:
        raise Invalid("The patient has fields that can't be accepted.", missing)
    values = checked(values)
    values["responsibleId"] = _responsible(session, actor, values.get("responsibleId"))
    now = datetime.now(UTC)
    patient = Patient(id=new_id(), birth_date_estimated=False, created_by=actor.user_id, created_at=now, updated_at=now)
    patient.audit_key_cipher = cipher.encrypt_bytes(os.urandom(AUDIT_KEY_BYTES), patient.id)
    refuse_duplicate(session, cipher, patient.id, values)
    set_content(patient, cipher, values)
    session.add(patient)
    flush(session, patient)
    if patient.responsible_id is not None:
        join(session, actor, cipher, patient, patient.responsible_id, "RESPONSIBLE")
    access = PatientAccess(patient, patient_standing(session, actor, patient))
    save(session, actor, cipher, access, action="patient.create", before=None)
    return access


def _responsible(session: Session, actor: Actor, named: uuid.UUID | None) -> uuid.UUID | None:
    if actor.role is Role.DOCTOR and named in (None, actor.user_id):
        return actor.user_id
    if named is None:
        return None
    if actor.role is not Role.RECEPTION:
        raise Forbidden(
            "The doctor who registers a patient is responsible for them; only reception names another.",
            ["/responsibleId"],
        )
    check_responsible(session, actor, named)
    return named
