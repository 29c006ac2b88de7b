"""Note an allergy."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import Allergy, new_id
from models.patient import SEVERITIES
from services.access import Standing, find_patient
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import FieldError, Forbidden, Invalid
from services.field_encryption import FieldCipher
from services.masking import apply, mask_for
from services.permissions import Permission
from services.record_fields import time_text
from services.record_write import CLOCK_SKEW, EARLIEST, audit_key

SUBSTANCE_MAX = 300
REACTION_MAX = 1000


@dataclass(frozen=True, slots=True)
class NewAllergy:
    substance: str
    reaction: str | None = None
    severity: str | None = None  # MILD, MODERATE, SEVERE
    noted_at: datetime | None = None


def create_allergy(
    session: Session, actor: Actor, cipher: FieldCipher, patient_id: uuid.UUID, new: NewAllergy
) -> tuple[Allergy, Standing]:
    """The allergy as noted. Raises Forbidden (outside the care team), NotFound, Gone, Invalid."""
    actor.require(Permission.ALLERGY_WRITE)
    patient, standing = find_patient(session, actor, patient_id)
    if not standing.in_team:
        raise Forbidden("Only the patient's care team notes allergies.")
    _check(new)
    now = datetime.now(UTC)
    allergy = Allergy(
        id=new_id(),
        patient_id=patient.id,
        substance=new.substance,
        reaction=new.reaction,
        severity=new.severity,
        noted_at=new.noted_at or now,
        recorded_by=actor.user_id,
        created_at=now,
    )
    session.add(allergy)
    event_id = new_id()
    record(
        session,
        actor,
        Event(
            action="allergy.create",
            entity_type="allergy",
            entity_id=allergy.id,
            patient_id=patient.id,
            changes=changes_between(audit_key(cipher, patient), event_id, None, _content(allergy)),
            basis=standing.basis(),
        ),
        event_id=event_id,
    )
    session.flush()
    return allergy, standing


def show_allergy(allergy: Allergy, standing: Standing) -> dict[str, Any]:
    """The allergy as the API shows it to whoever stands so to the patient."""
    mask = mask_for("allergy", standing.relation)
    values = {
        "id": str(allergy.id),
        "patientId": str(allergy.patient_id),
        **_content(allergy),
        "createdAt": time_text(allergy.created_at),
        "privacy": mask.privacy(),
    }
    return apply(mask, values)


def _content(allergy: Allergy) -> dict[str, Any]:
    return {
        "substance": allergy.substance,
        "reaction": allergy.reaction,
        "severity": allergy.severity,
        "notedAt": time_text(allergy.noted_at),
    }


def _check(new: NewAllergy) -> None:
    errors = []
    if not new.substance.strip() or len(new.substance) > SUBSTANCE_MAX:
        errors.append(FieldError("/substance", f"1 to {SUBSTANCE_MAX} characters, not only spaces"))
    if new.reaction is not None and len(new.reaction) > REACTION_MAX:
        errors.append(FieldError("/reaction", f"at most {REACTION_MAX} characters"))
    if new.severity is not None and new.severity not in SEVERITIES:
        errors.append(FieldError("/severity", f"one of {', '.join(SEVERITIES)}"))
    if new.noted_at is not None and not EARLIEST <= new.noted_at <= datetime.now(UTC) + CLOCK_SKEW:
        errors.append(FieldError("/notedAt", "a time between 1900 and now"))
    if errors:
        raise Invalid("The allergy has fields that can't be accepted.", errors)
