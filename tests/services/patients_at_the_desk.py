"""Registering, correcting and reading patients through the services, in one call each; and what came of it."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import select

from config import Principal
from models import AuditOutbox, CareTeamMember
from models.engine import Databases
from services.field_encryption import FieldCipher
from services.patient_create import create_patient
from services.patient_get import get_patient
from services.patient_update import may_update_patient, update_patient
from tests.factories.cast import Person


def register(databases: Databases, cipher: FieldCipher, person: Person, **content: Any) -> uuid.UUID:
    values = {"fullName": "Paciente Novo", "sex": "UNKNOWN", **content}
    with databases.session(Principal.STAFF) as session:
        return create_patient(session, person.actor, cipher, values).patient.id


def change(
    databases: Databases,
    cipher: FieldCipher,
    person: Person,
    patient_id: uuid.UUID,
    version: int | None,
    **content: Any,
) -> int:
    with databases.session(Principal.STAFF) as session:
        access = may_update_patient(session, person.actor, patient_id)
        return update_patient(session, person.actor, cipher, access, version=version, content=content).patient.version


def read(databases: Databases, cipher: FieldCipher, person: Person, patient_id: uuid.UUID, **options: Any) -> Any:
    return json.loads(get_patient(databases, person.actor, cipher, patient_id, **options).data)


def events(databases: Databases, patient_id: uuid.UUID, action: str) -> list[AuditOutbox]:
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.patient_id == patient_id, AuditOutbox.action == action)
        return list(session.scalars(query.order_by(AuditOutbox.id)))


def members(databases: Databases, patient_id: uuid.UUID) -> dict[uuid.UUID, str]:
    with databases.session(Principal.STAFF) as session:
        query = select(CareTeamMember).where(
            CareTeamMember.patient_id == patient_id, CareTeamMember.removed_at.is_(None)
        )
        return {member.user_id: member.origin for member in session.scalars(query)}
