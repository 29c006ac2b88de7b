"""Correct a patient's identification."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import PatientVersion
from models.user import Role
from services.access import find_patient
from services.actor import Actor
from services.care_team_write import check_responsible, hand_over
from services.errors import Forbidden, Invalid, PreconditionRequired, StaleVersion
from services.field_encryption import FieldCipher
from services.masking import Visibility
from services.patient_fields import content_of, json_value, open_content
from services.patient_view import patient_mask
from services.patient_write import PatientAccess, checked, note_unchanged, refuse_duplicate, save, set_content
from services.permissions import Permission
from services.record_update import NAME_THE_VERSION


def may_update_patient(session: Session, actor: Actor, patient_id: uuid.UUID) -> PatientAccess:
    """The patient, locked, if this actor may change them at all; called before a body's fields are looked at.
    Raises Forbidden, NotFound, Gone."""
    actor.require(Permission.PATIENT_UPDATE)
    patient, standing = find_patient(session, actor, patient_id, lock=True)
    if actor.role.is_clinical and not standing.in_team:
        raise Forbidden("Only the patient's care team, or reception, corrects their identification.")
    return PatientAccess(patient, standing)


def update_patient(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    access: PatientAccess,
    *,
    version: int | None,
    content: Mapping[str, Any],
    reason: str | None = None,
) -> PatientAccess:
    """Apply ``content`` (API names → typed values; None empties a field, what is left out stays) to the patient
    that ``may_update_patient`` gave.

    Raises Forbidden for fields that are masked from this actor or not theirs, PreconditionRequired without
    ``version``, StaleVersion when it is not the current one, Invalid, DuplicateIdentifier (a CPF or CNS
    that another patient has; see ``counted_duplicates``). A change that changes nothing makes no version.
    """
    patient = access.patient
    _check_fields(actor, access, content)
    if version is None:
        raise PreconditionRequired(NAME_THE_VERSION)
    if version != patient.version:
        raise StaleVersion(patient.version, conflicting_fields(session, cipher, access, version, content))
    values = checked(content)
    before = content_of(cipher, patient)
    _check_dates(patient.birth_date, patient.deceased_at, values)
    values = {name: value for name, value in values.items() if json_value(value) != before[name]}
    if not values:
        note_unchanged(session, actor, access)
        return access
    previous_id = patient.responsible_id
    if "responsibleId" in values:
        if values["responsibleId"] is None:
            raise Invalid.at("/responsibleId", "name another doctor; a patient does not lose the responsible one")
        check_responsible(session, actor, values["responsibleId"])
    refuse_duplicate(session, cipher, patient.id, values)
    set_content(patient, cipher, values)
    patient.updated_at = datetime.now(UTC)
    save(session, actor, cipher, access, action="patient.update", before=before, reason=reason)
    if patient.responsible_id != previous_id:
        hand_over(session, actor, cipher, patient, previous_id)
    return access


def _check_fields(actor: Actor, access: PatientAccess, content: Mapping[str, Any]) -> None:
    mask = patient_mask(access)
    masked = [f"/{name}" for name in content if mask.fields.get(name) is not Visibility.CLEAR]
    if masked:
        raise Forbidden("These fields are masked from you, so you can't write them.", masked)
    names_another = content.get("responsibleId", access.patient.responsible_id) != access.patient.responsible_id
    if actor.role is Role.NURSE and names_another:
        raise Forbidden("Only doctors of the team, or reception, name the responsible doctor.", ["/responsibleId"])


def _check_dates(born: Any, died: Any, values: Mapping[str, Any]) -> None:
    """A new birth date against the known death, and the other way round: ``checked`` sees what was sent only."""
    if ("birthDate" in values) != ("deceasedAt" in values):
        checked({"birthDate": values.get("birthDate", born), "deceasedAt": values.get("deceasedAt", died)})


def conflicting_fields(
    session: Session, cipher: FieldCipher, access: PatientAccess, base_version: int, content: Mapping[str, Any]
) -> tuple[str, ...]:
    """Which of the fields sent somebody changed since ``base_version``, as far as the actor may know, and to
    something else than what is sent. All of them when that version never existed."""
    mask = patient_mask(access)
    visible = [name for name in content if mask.fields.get(name) is Visibility.CLEAR]
    row = session.get(PatientVersion, (access.patient.id, base_version))
    if row is None:
        return tuple(visible)
    base = open_content(cipher, access.patient.id, row.content)
    current = content_of(cipher, access.patient)
    sent = comparable(content)
    return tuple(name for name in visible if base.get(name) != current[name] and sent[name] != current[name])


def comparable(content: Mapping[str, Any]) -> dict[str, Any]:
    """What was sent as ``content_of`` would say it; a value that breaks a rule is like none there is."""
    values = {}
    for name, value in content.items():
        try:
            values[name] = json_value(checked({name: value})[name])
        except Invalid:
            values[name] = json_value(value)
    return values
