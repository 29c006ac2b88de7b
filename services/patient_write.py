"""What every change of a patient has in common: what is accepted, the next version, kept whole, and its event."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from models import Patient, PatientVersion, new_id
from models.patient import ADDRESS_MAX, NAME_MAX, SEXES
from services.access import Standing
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import DuplicateIdentifier, FieldError, Invalid, StaleVersion
from services.field_encryption import FieldCipher
from services.identifier_check import WHAT_IT_IS, normalize
from services.identifier_turns import take_turns
from services.masking import Relation
from services.patient_fields import DOCUMENTS, PLAIN, content_of, sealed_content
from services.record_write import CLOCK_SKEW, audit_key
from services.shown_again import note_shown

EARLIEST_BIRTH = date(1850, 1, 1)
LENGTHS = {
    "fullName": NAME_MAX,
    "socialName": NAME_MAX,
    "motherName": NAME_MAX,
    "nationality": 100,
    "phone": 50,
    "email": 254,
    "address": ADDRESS_MAX,
}
EMAIL_SHAPE = re.compile(r"[^@\s]+@[^@\s]+")
REQUIRED = ("fullName", "sex", "birthDateEstimated")
UNIQUE = ("cpf", "cns")
UNIQUE_INDEXES = frozenset(f"uq_patients_{kind}_index" for kind in UNIQUE)
DUPLICATE = "A patient with this CPF or CNS is already registered. Search for it, and use that registration."


@dataclass(frozen=True, slots=True)
class PatientAccess:
    """A patient and how the actor stands to them."""

    patient: Patient
    standing: Standing

    @property
    def relation(self) -> Relation:
        return self.standing.relation


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` (API names → typed values) with documents in their stored form.

    Raises Invalid naming every field that breaks a rule; the messages never repeat a value.
    """
    errors = [FieldError(f"/{name}", "required") for name in REQUIRED if name in values and values[name] is None]
    for name, longest in LENGTHS.items():
        value = values.get(name)
        if value is not None and (not value.strip() or len(value) > longest):
            errors.append(FieldError(f"/{name}", f"1 to {longest} characters, not only spaces"))
    if values.get("sex") is not None and values["sex"] not in SEXES:
        errors.append(FieldError("/sex", f"one of {', '.join(SEXES)}"))
    if values.get("email") and not EMAIL_SHAPE.fullmatch(values["email"]):
        errors.append(FieldError("/email", "an e-mail address"))
    errors += _wrong_dates(values)
    result = dict(values)
    for kind in DOCUMENTS:
        if values.get(kind) is not None:
            result[kind] = normalize(kind, values[kind])
            if result[kind] is None:
                errors.append(FieldError(f"/{kind}", WHAT_IT_IS[kind]))
    if errors:
        raise Invalid("The patient has fields that can't be accepted.", errors)
    return result


def _wrong_dates(values: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    now = datetime.now(UTC)
    born, died = values.get("birthDate"), values.get("deceasedAt")
    if born is not None and not EARLIEST_BIRTH <= born <= now.date():
        errors.append(FieldError("/birthDate", "a date between 1850 and today"))
    if died is not None and not EARLIEST_BIRTH <= died.date() <= (now + CLOCK_SKEW).date():
        errors.append(FieldError("/deceasedAt", "a time between 1850 and now"))
    elif died is not None and born is not None and died.date() < born:
        errors.append(FieldError("/deceasedAt", "a time after the birth date"))
    return errors


def set_content(patient: Patient, cipher: FieldCipher, values: Mapping[str, Any]) -> None:
    """Set the fields named in ``values``, which ``checked`` gave. A document that stays the same keeps its
    ciphertext, so that versions show what really changed."""
    for name, value in values.items():
        if name in PLAIN:
            setattr(patient, PLAIN[name], value)
            continue
        sealed = getattr(patient, f"{name}_cipher")
        if sealed is not None and value is not None and cipher.decrypt(sealed, patient.id) == value:
            continue
        setattr(patient, f"{name}_cipher", None if value is None else cipher.encrypt(value, patient.id))
        setattr(patient, f"{name}_index", None if value is None else cipher.blind_index(name, value))


def refuse_duplicate(session: Session, cipher: FieldCipher, patient_id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """Raise DuplicateIdentifier when another patient has this CPF or CNS, under the current key or the one before it.

    It says neither whose nor which of the two. Two writers at once meet at the unique index (``flush``); while keys
    change they take turns.
    """
    indexes = {kind: cipher.blind_indexes(kind, values[kind]) for kind in UNIQUE if values.get(kind) is not None}
    take_turns(session, cipher, *indexes.values())
    same = [getattr(Patient, f"{kind}_index").in_(found) for kind, found in indexes.items()]
    if same and session.scalar(select(Patient.id).where(or_(*same), Patient.id != patient_id).limit(1)):
        raise DuplicateIdentifier(DUPLICATE)


def flush(session: Session, patient: Patient) -> None:
    """Flush the patient's row. Raises DuplicateIdentifier for a CPF or CNS somebody registered at the same moment, and
    StaleVersion when another transaction changed the row first."""
    try:
        session.flush()
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) in UNIQUE_INDEXES:
            raise DuplicateIdentifier(DUPLICATE) from None
        raise
    except StaleDataError as error:
        raise StaleVersion(patient.version, ()) from error


def note_unchanged(session: Session, actor: Actor, access: PatientAccess) -> None:
    """The event of a write that shows the patient and changes nothing."""
    shown = access.patient
    note_shown(session, actor, "patient", shown.id, shown.id, access.standing, version=shown.version)


def save(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    access: PatientAccess,
    *,
    action: str,
    before: Mapping[str, Any] | None,
    reason: str | None = None,
) -> None:
    """Flush the patient's change as the next version and write the event. Raises what ``flush`` raises."""
    patient = access.patient
    flush(session, patient)
    session.add(
        PatientVersion(
            patient_id=patient.id,
            version=patient.version,
            content=sealed_content(patient),
            changed_by=actor.user_id,
            reason=reason,
        )
    )
    event_id = new_id()
    after = content_of(cipher, patient)
    record(
        session,
        actor,
        Event(
            action=action,
            entity_type="patient",
            entity_id=patient.id,
            patient_id=patient.id,
            from_version=None if before is None else patient.version - 1,
            to_version=patient.version,
            changes=changes_between(audit_key(cipher, patient), event_id, before, after),
            basis=access.standing.basis(),
        ),
        event_id=event_id,
    )
    session.flush()
