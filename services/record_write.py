"""What every change of a record has in common: its next version, kept whole, and its event."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from models import MedicalRecord, Patient, RecordVersion, Visit, new_id
from services.access import RecordAccess
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import FieldError, Invalid, StaleVersion
from services.field_encryption import FieldCipher
from services.record_fields import CONTENT, content_of
from services.restriction import CID10, must_be_restricted
from services.shown_again import note_shown

OPEN_FOR = timedelta(hours=24)
CLOCK_SKEW = timedelta(minutes=5)
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
REASON_MAX = 1000


def audit_key(cipher: FieldCipher, patient: Patient) -> bytes:
    """The key of the digests in this patient's events."""
    return cipher.decrypt_bytes(patient.audit_key_cipher, patient.id)


def save(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    access: RecordAccess,
    *,
    action: str,
    before: Mapping[str, Any] | None,
    reason: str | None = None,
) -> None:
    """Flush the record's change as its next version and write the event. Raises StaleVersion when another
    transaction was quicker."""
    changed = access.record
    try:
        session.flush()
    except StaleDataError as error:
        raise StaleVersion(changed.version, ()) from error
    after = content_of(changed)
    session.add(
        RecordVersion(
            record_id=changed.id,
            version=changed.version,
            patient_id=changed.patient_id,
            content=after,
            changed_by=actor.user_id,
            reason=reason,
        )
    )
    event_id = new_id()
    record(
        session,
        actor,
        Event(
            action=action,
            entity_type="medical_record",
            entity_id=changed.id,
            patient_id=changed.patient_id,
            from_version=None if before is None else changed.version - 1,
            to_version=changed.version,
            changes=changes_between(audit_key(cipher, access.patient), event_id, before, after),
            basis=access.basis,
        ),
        event_id=event_id,
    )
    session.flush()


def note_unchanged(session: Session, actor: Actor, access: RecordAccess) -> None:
    """The event of a write that shows the record and changes nothing."""
    shown = access.record
    note_shown(
        session, actor, "medical_record", shown.id, shown.patient_id, access.standing,
        version=shown.version, is_author=access.is_author,
    )  # fmt: skip


def require_reason(reason: str | None, *, pointer: str = "/reason") -> str:
    """A reason a person could have meant. Raises Invalid."""
    if reason is None or not reason.strip():
        raise Invalid.at(pointer, "say why: a reason is required")
    if len(reason) > REASON_MAX:
        raise Invalid.at(pointer, f"at most {REASON_MAX} characters")
    return reason


def check_content(values: Mapping[str, Any]) -> None:
    """Rules over a record's fields that a type can't say. Raises Invalid with every field that breaks one."""
    errors = []
    codes = values.get("cid10Codes") or []
    errors += [
        FieldError(f"/cid10Codes/{number}", "a CID-10 code such as I10 or E11.9")
        for number, code in enumerate(codes)
        if not CID10.match(code)
    ]
    occurred = values.get("occurredAt")
    if occurred is not None and not EARLIEST <= occurred <= datetime.now(UTC) + CLOCK_SKEW:
        errors.append(FieldError("/occurredAt", "a time between 1900 and now"))
    if values.get("restricted") is False and must_be_restricted(codes):
        errors.append(FieldError("/restricted", "a record with these CID-10 codes is restricted by law"))
    if errors:
        raise Invalid("The record has fields that can't be accepted.", errors)


def set_content(target: MedicalRecord, values: Mapping[str, Any]) -> None:
    """Set the fields named in ``values`` (API names); law-bound codes restrict the record by themselves."""
    for name, value in values.items():
        setattr(target, CONTENT[name], value)
    if must_be_restricted(target.cid10_codes or []):
        target.restricted = True


def visit_of(session: Session, patient_id: uuid.UUID, visit_id: uuid.UUID | None) -> uuid.UUID | None:
    """``visit_id`` when it is a visit of this patient. Raises Invalid otherwise."""
    if visit_id is None:
        return None
    visit = session.get(Visit, visit_id)
    if visit is None or visit.patient_id != patient_id:
        raise Invalid.at("/visitId", "a visit of this patient")
    return visit.id
