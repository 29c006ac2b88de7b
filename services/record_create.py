"""Write a medical record, or an addendum to one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import MedicalRecord, new_id
from models.user import Role
from services.access import RecordAccess, Standing, find_patient
from services.actor import Actor
from services.errors import Forbidden, Invalid
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.record_write import OPEN_FOR, check_content, save, set_content, visit_of


@dataclass(frozen=True, slots=True)
class NewRecord:
    """What a writer states. ``content`` maps API field names to values; what is left out gets its default."""

    patient_id: uuid.UUID
    content: Mapping[str, Any] = field(default_factory=dict)
    visit_id: uuid.UUID | None = None
    amends_id: uuid.UUID | None = None


def create_record(session: Session, actor: Actor, cipher: FieldCipher, new: NewRecord) -> RecordAccess:
    """The record as written, open for 24 hours. Raises Forbidden, NotFound (unknown patient), Invalid."""
    actor.require(Permission.RECORD_CREATE)
    patient, standing = find_patient(session, actor, new.patient_id)
    content = {"kind": "CONSULTATION", "priority": "NORMAL", **new.content}
    content = {name: value for name, value in content.items() if value is not None}
    if new.amends_id is not None:
        amended = _amended(session, actor, standing, new, content)
        content["kind"] = "ADDENDUM"
        if amended.restricted:
            if content.get("restricted") is False:
                raise Invalid.at("/restricted", "an addendum to a restricted record is restricted too")
            content["restricted"] = True
    elif content["kind"] == "ADDENDUM":
        raise Invalid.at("/amendsId", "an addendum says which record it amends")
    elif actor.role is Role.NURSE:
        _check_triage(standing, content)
    check_content(content)
    now = datetime.now(UTC)
    record = MedicalRecord(
        id=new_id(),
        patient_id=patient.id,
        author_id=actor.user_id,
        visit_id=visit_of(session, patient.id, new.visit_id),
        amends_id=new.amends_id,
        occurred_at=now,
        created_at=now,
        updated_at=now,
        closes_at=now + OPEN_FOR,
        cid10_codes=[],
        restricted=False,
    )
    set_content(record, content)
    session.add(record)
    access = RecordAccess(record=record, patient=patient, standing=standing, is_author=True)
    save(session, actor, cipher, access, action="medical_record.create", before=None)
    return access


def may_create(session: Session, actor: Actor, patient_id: uuid.UUID, *, is_addendum: bool) -> None:
    """Refuse before anything is written what ``create_record`` would refuse after. Raises Forbidden, NotFound, Gone."""
    actor.require(Permission.RECORD_AMEND if is_addendum else Permission.RECORD_CREATE)
    _, standing = find_patient(session, actor, patient_id)
    if is_addendum:
        check_amending(actor, standing)
    elif actor.role is Role.NURSE:
        _check_team(standing)


def _check_team(standing: Standing) -> None:
    if not standing.in_team:
        raise Forbidden("You are not on this patient's care team. Ask a doctor of the team or reception to add you.")


def _check_triage(standing: Standing, content: Mapping[str, Any]) -> None:
    _check_team(standing)
    if content["kind"] != "TRIAGE":
        raise Forbidden("Nurses write triage notes (kind TRIAGE) and addenda.", ["/kind"])


def check_amending(actor: Actor, standing: Standing) -> None:
    """Raises Forbidden unless this actor may add to records of the patient."""
    actor.require(Permission.RECORD_AMEND)
    if not standing.in_team:
        raise Forbidden("Only the patient's care team adds to somebody's record.")


def _amended(
    session: Session, actor: Actor, standing: Standing, new: NewRecord, content: Mapping[str, Any]
) -> MedicalRecord:
    """The record to which ``new`` is an addendum. Raises Forbidden, Invalid."""
    check_amending(actor, standing)
    if "kind" in new.content and content["kind"] != "ADDENDUM":
        raise Invalid.at("/kind", "an addendum's kind is ADDENDUM; leave it out")
    amended = session.get(MedicalRecord, new.amends_id)
    if amended is None or amended.patient_id != new.patient_id or amended.deleted_at is not None:
        raise Invalid.at("/amendsId", "an active record of the same patient")
    if amended.amends_id is not None:
        raise Invalid.at("/amendsId", "a record that is itself no addendum")
    return amended
