"""A doctor calls a waiting patient in: joins the care team for the visit, and a record opens."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models import Patient, Visit
from services.access import RecordAccess
from services.actor import Actor
from services.care_team_write import join
from services.errors import Conflict, Forbidden
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.record_create import NewRecord, create_record
from services.visit_write import content_of, find_visit, save


@dataclass(frozen=True, slots=True)
class Called:
    visit: Visit
    patient: Patient
    record: RecordAccess  # the consultation that opened, titled with the visit's reason


def call_visit(session: Session, actor: Actor, cipher: FieldCipher, visit_id: uuid.UUID) -> Called:
    """Of two doctors who call at once, one gets the patient.

    The membership lasts until 24 hours after the visit closes. A doctor outside the team can't call somebody
    whom they checked in themselves: nobody adds themselves to a care team.
    Raises Forbidden, NotFound, Conflict (called already, closed, or waiting for another doctor).
    """
    actor.require(Permission.VISIT_CALL)
    visit, patient, standing = find_visit(session, actor, visit_id)
    if visit.status != "WAITING":
        raise Conflict("This patient is not waiting any more: somebody called them, or the visit was closed.")
    if visit.doctor_id not in (None, actor.user_id):
        raise Conflict("This patient waits for another doctor.")
    if visit.checked_in_by == actor.user_id and not standing.in_team:
        raise Forbidden(
            "You checked this patient in yourself and are not on their care team. "
            "Ask reception or a doctor of the team to add you, or start an emergency access."
        )
    before = content_of(visit)
    visit.status = "IN_CARE"
    visit.doctor_id = actor.user_id
    visit.called_at = datetime.now(UTC)
    save(session, actor, cipher, visit, patient, standing, action="visit.call", before=before)
    join(session, actor, cipher, patient, actor.user_id, "VISIT", visit_id=visit.id)
    content = {"title": visit.reason, "kind": "CONSULTATION", "priority": visit.priority}
    opened = create_record(session, actor, cipher, NewRecord(patient.id, content, visit_id=visit.id))
    return Called(visit, patient, opened)
