"""Triage: a nurse notes vital signs and says how urgent the visit is."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models import Patient, Visit
from models.record import PRIORITIES
from services.access import RecordAccess
from services.actor import Actor
from services.ai_help import help_with_priority
from services.errors import Conflict, FieldError, Invalid
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.record_create import NewRecord, create_record
from services.visit_create import require_desk
from services.visit_fields import OPEN
from services.visit_write import content_of, find_visit, save
from services.vital_signs import VitalSigns

TITLE = "Triagem de enfermagem"  # of the note: the chart's language is the clinic's, whoever's page wrote it
NOTES_MAX = 4000


@dataclass(frozen=True, slots=True)
class Triage:
    """``notes``: complaint and observations in the nurse's words. At least one of these or a vital sign."""

    priority: str
    signs: VitalSigns
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Triaged:
    visit: Visit
    patient: Patient
    record: RecordAccess  # the note, of kind TRIAGE


def triage_visit(
    session: Session, actor: Actor, cipher: FieldCipher, visit_id: uuid.UUID, triage: Triage,
    *, helped_by: Sequence[uuid.UUID] = (),
) -> Triaged:  # fmt: skip
    """The note is written by the rules of any record, so a nurse outside the care team writes none. A second
    triage is a second note. ``helped_by``: the questions whose answers the priority was taken from, which the note
    says. Raises Forbidden, NotFound, Gone, Invalid, Conflict (the visit is closed)."""
    actor.require(Permission.VISIT_WRITE)
    visit, patient, standing = find_visit(session, actor, visit_id)
    require_desk(actor, standing)
    _check(triage)
    if visit.status not in OPEN:
        raise Conflict("This visit is closed already.")
    notes = "\n".join(part for part in (triage.signs.written(), (triage.notes or "").strip()) if part)
    helped = help_with_priority(session, actor, cipher, visit, helped_by, triage.priority)
    content = {"title": TITLE, "kind": "TRIAGE", "notes": helped.noted(notes), "priority": triage.priority}
    written = create_record(session, actor, cipher, NewRecord(patient.id, content, visit_id=visit.id))
    helped.settle(session, actor, written.record.id)
    if visit.priority != triage.priority:
        before = content_of(visit)
        visit.priority = triage.priority
        save(session, actor, cipher, visit, patient, standing, action="visit.triage", before=before)
    return Triaged(visit, patient, written)


def _check(triage: Triage) -> None:
    errors = list(triage.signs.problems())
    if triage.priority not in PRIORITIES:
        errors.append(FieldError("/priority", f"one of {', '.join(PRIORITIES)}"))
    if not triage.signs and not (triage.notes or "").strip():
        errors.append(FieldError("/notes", "at least one vital sign, or what you saw"))
    if triage.notes is not None and len(triage.notes) > NOTES_MAX:
        errors.append(FieldError("/notes", f"at most {NOTES_MAX} characters"))
    if errors:
        raise Invalid("The triage has fields that can't be accepted.", errors)
