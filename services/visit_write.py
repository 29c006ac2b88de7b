"""What every change of a visit has in common: its next version and its event."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from models import Patient, Visit, new_id
from services.access import Standing, find_patient
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import NotFound
from services.field_encryption import FieldCipher
from services.record_fields import time_text
from services.record_write import audit_key

NO_VISIT = "There is no such visit."


def find_visit(session: Session, actor: Actor, visit_id: uuid.UUID) -> tuple[Visit, Patient, Standing]:
    """The visit, its patient and how ``actor`` stands to them, both rows locked for a change: the patient
    first, as everywhere, so that two changes never wait for each other. Raises NotFound."""
    visit = session.get(Visit, visit_id)
    if visit is None:
        raise NotFound(NO_VISIT)
    patient, standing = find_patient(session, actor, visit.patient_id, inactive="show", lock=True)
    session.refresh(visit, with_for_update=True)
    return visit, patient, standing


def content_of(visit: Visit) -> dict[str, Any]:
    """What the digests of a visit's events are over: plain JSON types."""
    return {
        "reason": visit.reason,
        "priority": visit.priority,
        "status": visit.status,
        "doctorId": None if visit.doctor_id is None else str(visit.doctor_id),
        "calledAt": time_text(visit.called_at),
        "closedAt": time_text(visit.closed_at),
    }


def save(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    visit: Visit,
    patient: Patient,
    standing: Standing,
    *,
    action: str,
    before: Mapping[str, Any] | None,
) -> None:
    """Flush the visit's change, whose row the caller holds locked, and write the event."""
    session.flush()
    event_id = new_id()
    record(
        session,
        actor,
        Event(
            action=action,
            entity_type="visit",
            entity_id=visit.id,
            patient_id=patient.id,
            from_version=None if before is None else visit.version - 1,
            to_version=visit.version,
            changes=changes_between(audit_key(cipher, patient), event_id, before, content_of(visit)),
            basis=standing.basis(),
        ),
        event_id=event_id,
    )
