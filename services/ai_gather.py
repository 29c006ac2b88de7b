"""What a question may rest on: a patient's records, visits and allergies as the asker sees them at this moment.

Each thing is read through the asker's mask, field by field; a field that is hidden or shown in part is left out, so a
model never learns what its asker does not. The reading is in the trail as any other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from models import Allergy, MedicalRecord, Patient, User, Visit
from models.user import IMPORT_USER_ID
from services.access import Standing, find_patient
from services.actor import Actor
from services.age import age_on
from services.ai_prompts.inputs import Source
from services.ai_refusal import require_no_refusal
from services.audit_event import Event, record
from services.field_encryption import FieldCipher
from services.masking import Mask, Relation, Visibility, mask_for
from services.patient_fields import DOCUMENTS
from services.permissions import Permission
from services.pseudonyms import Pseudonyms
from services.visit_fields import CLOSED

RECORDS_MAX, VISITS_MAX, ALLERGIES_MAX = 40, 10, 50
RECORD_FIELDS = ("kind", "title", "diagnosis", "cid10Codes", "treatment", "notes", "priority")
VISIT_FIELDS = ("reason", "priority", "status")
ALLERGY_FIELDS = ("substance", "reaction", "severity")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Before what does not fit into a prompt is left out. ``entries``: how many sources there are, with those that are
    too many to be read at all; ``visible``: as Seen has them, None where no record is read."""

    patient: Patient
    standing: Standing
    sources: tuple[Source, ...]
    entries: int
    pseudonyms: Pseudonyms
    age: int | None
    sex: str
    visible: list[list[Any]] | None


def gather(
    session: Session, actor: Actor, cipher: FieldCipher, patient_id: uuid.UUID, today: date, *,
    reads_record: bool = True,
) -> Gathered:  # fmt: skip
    """In ``session``'s transaction, with the events of the reading. Without ``reads_record`` nothing but age and sex is
    told, and no source is read: for a question about a text that its asker writes. Raises Forbidden, NotFound, Gone,
    and Conflict where the patient refused."""
    actor.require(Permission.AI_USE)
    actor.require(Permission.RECORD_READ)
    patient, standing = find_patient(session, actor, patient_id)
    require_no_refusal(session, patient_id)
    age = None if patient.birth_date is None else age_on(patient.birth_date, today)
    if not reads_record:
        return Gathered(patient, standing, (), 0, _pseudonyms(session, cipher, patient), age, patient.sex, None)
    found = sources_seen(session, actor, standing, patient_id)
    sources = tuple(replace(each, ref=f"R{number}") for number, each in enumerate(found.sources, 1))
    for kind in ("medical_record", "visit", "allergy"):
        _note_read(session, actor, patient, standing, kind, sources)
    return Gathered(
        patient, standing, sources, found.entries, _pseudonyms(session, cipher, patient), age, patient.sex, found.ids()
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody sees of a record that says something, in its order, without refs; ``entries`` as in Gathered."""

    sources: tuple[Source, ...]
    entries: int

    def ids(self) -> list[list[Any]]:
        """``[kind, id, version]`` of each: what is compared to tell whether there is something else by now."""
        return [[each.kind, str(each.id), each.version] for each in self.sources]


def sources_seen(
    session: Session, actor: Actor, standing: Standing, patient_id: uuid.UUID, *, without: uuid.UUID | None = None
) -> Seen:
    """The newest records, visits and allergies as this actor sees them now, ``without`` one record. No event: that is
    the caller's."""
    of_records = select(MedicalRecord).where(
        MedicalRecord.patient_id == patient_id, MedicalRecord.deleted_at.is_(None)
    )
    if without is not None:
        of_records = of_records.where(MedicalRecord.id != without)
    of_visits = select(Visit).where(Visit.patient_id == patient_id)
    of_allergies = select(Allergy).where(Allergy.patient_id == patient_id)
    newest = of_records.order_by(MedicalRecord.occurred_at.desc(), MedicalRecord.id.desc())
    records = session.scalars(newest.limit(RECORDS_MAX)).all()
    visits = session.scalars(of_visits.order_by(Visit.arrived_at.desc(), Visit.id.desc()).limit(VISITS_MAX)).all()
    allergies = session.scalars(of_allergies.order_by(Allergy.id.desc()).limit(ALLERGIES_MAX)).all()
    restricted = restricted_visits(session, (each.id for each in visits))
    found = [
        *(_of_allergy(each, standing) for each in allergies),
        *(_of_record(each, actor, standing) for each in records),
        *(_of_visit(each, standing, is_restricted=each.id in restricted) for each in visits),
    ]
    sources = tuple(filter(_says, found))
    entries = len(sources) + sum(
        _beyond(session, rows, most)
        for rows, some, most in (
            (of_records, records, RECORDS_MAX), (of_visits, visits, VISITS_MAX),
            (of_allergies, allergies, ALLERGIES_MAX),
        )
        if len(some) == most
    )  # fmt: skip
    return Seen(sources, entries)


def _beyond(session: Session, rows: Select[Any], most: int) -> int:
    """How many of these rows there are besides the first ``most``."""
    return (session.scalar(select(func.count()).select_from(rows.subquery())) or 0) - most


def sees_contents(session: Session, actor: Actor, patient_id: uuid.UUID) -> bool:
    """Whether there is a record of which this actor sees more than its caption: as the care team does, under
    break-glass, or of records they wrote. Titles alone make no summary: whoever reads one believes it to be of the
    record. Raises NotFound, Gone."""
    _, standing = find_patient(session, actor, patient_id)
    records = select(MedicalRecord.id).where(
        MedicalRecord.patient_id == patient_id, MedicalRecord.deleted_at.is_(None)
    )
    if mask_for("record", standing.relation).fields["diagnosis"] is not Visibility.CLEAR:
        records = records.where(MedicalRecord.author_id == actor.user_id)
    return session.scalar(records.limit(1)) is not None


def visible_fields(mask: Mask, names: Iterable[str]) -> list[str]:
    return [name for name in names if mask.fields.get(name) is Visibility.CLEAR]


def restricted_visits(session: Session, visit_ids: Iterable[uuid.UUID]) -> set[uuid.UUID | None]:
    """Those that a restricted record came of: however old it is, and though it is inactive by now."""
    came_of = MedicalRecord.visit_id.in_(list(visit_ids))
    return set(session.scalars(select(MedicalRecord.visit_id).where(came_of, MedicalRecord.restricted)))


def record_mask_of(found: MedicalRecord, actor: Actor, standing: Standing) -> Mask:
    is_author = actor.role.is_clinical and found.author_id == actor.user_id
    return mask_for("record", Relation.CARE_TEAM if is_author else standing.relation, restricted=found.restricted)


def visit_mask_of(found: Visit, standing: Standing, *, is_restricted: bool) -> Mask:
    return mask_for("visit", standing.relation, restricted=is_restricted, past=found.status in CLOSED)


def _of_record(found: MedicalRecord, actor: Actor, standing: Standing) -> Source:
    values: dict[str, Any] = {
        "kind": found.kind, "title": found.title, "diagnosis": found.diagnosis, "treatment": found.treatment,
        "notes": found.notes, "priority": found.priority, "cid10Codes": ", ".join(found.cid10_codes),
    }  # fmt: skip
    names = visible_fields(record_mask_of(found, actor, standing), RECORD_FIELDS)
    return Source("", "record", found.id, found.version, found.occurred_at, _texts(values, names))


def diagnosis_of(found: MedicalRecord, actor: Actor, standing: Standing) -> tuple[Source, ...]:
    """A record as far as a question about its diagnosis rests on it; nothing where it has none to see."""
    source = _of_record(found, actor, standing)
    stated = source.fields.get("diagnosis")
    return (replace(source, ref="R1", fields={"diagnosis": stated}),) if stated else ()


def _of_visit(found: Visit, standing: Standing, *, is_restricted: bool) -> Source:
    mask = visit_mask_of(found, standing, is_restricted=is_restricted)
    values = {"reason": found.reason, "priority": found.priority, "status": found.status}
    names = visible_fields(mask, VISIT_FIELDS)
    return Source("", "visit", found.id, found.version, found.arrived_at, _texts(values, names))


def _of_allergy(found: Allergy, standing: Standing) -> Source:
    names = visible_fields(mask_for("allergy", standing.relation), ALLERGY_FIELDS)
    values = {"substance": found.substance, "reaction": found.reaction, "severity": found.severity}
    return Source("", "allergy", found.id, None, found.noted_at or found.created_at, _texts(values, names))


def _texts(values: dict[str, Any], names: Iterable[str]) -> dict[str, str]:
    return {name: str(values[name]) for name in names if values[name]}


def _says(source: Source) -> bool:
    return bool(source.fields)


KIND_OF = {"medical_record": "record", "visit": "visit", "allergy": "allergy"}


def _note_read(
    session: Session, actor: Actor, patient: Patient, standing: Standing, kind: str, sources: Iterable[Source]
) -> None:
    ids = tuple(each.id for each in sources if each.kind == KIND_OF[kind])
    if ids:
        record(
            session, actor,
            Event(f"{kind}.list", kind, entity_ids=ids, patient_id=patient.id, basis=standing.basis(),
                  basis_id=standing.grant_id),
        )  # fmt: skip


def _pseudonyms(session: Session, cipher: FieldCipher, patient: Patient) -> Pseudonyms:
    """A table that knows who and what must not leave, whether or not the asker sees it: of the clinic everybody who
    works there or did, since a text may name anybody. Of their names alone, so this reads nothing."""
    table = Pseudonyms()
    table.known("person", patient.social_name, patient.full_name)  # the first is what they are called
    table.known("person", patient.mother_name)
    works_here = User.patient_id.is_(None) & (User.id != IMPORT_USER_ID)
    staff = session.scalars(select(User.full_name).where(works_here).order_by(User.id))
    for name in staff:
        table.known("person", name)
    for kind in DOCUMENTS:
        table.known(kind, *_opened(cipher, patient, kind))
    table.known("phone", patient.phone)
    table.known("email", patient.email)
    table.known("address", patient.address)
    return table


def _opened(cipher: FieldCipher, patient: Patient, kind: str) -> Iterator[str]:
    sealed = getattr(patient, f"{kind}_cipher")
    if sealed is not None:
        yield cipher.decrypt(sealed, patient.id)
