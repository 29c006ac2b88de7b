"""Show a question and its answer to whoever asked it, through what they may see now.

An answer says what its asker saw when they asked. Whoever sees less of any of it by now is shown nothing of the answer
(SECURITY 38); where a record was changed or written since, the answer says that it is old.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import AiRequest, Allergy, MedicalRecord, Patient, Visit
from services.access import Standing, find_patient
from services.actor import Actor
from services.ai_gather import (
    ALLERGY_FIELDS,
    RECORD_FIELDS,
    VISIT_FIELDS,
    record_mask_of,
    restricted_visits,
    visible_fields,
    visit_mask_of,
)
from services.ai_prompts.checked import shown
from services.ai_prompts.so_far import codes_so_far, words_so_far
from services.ai_question import Question, open_question
from services.ai_refusal import require_no_refusal
from services.audit_event import Event, record
from services.cid10_warnings import Oddity, code_warnings
from services.errors import NotFound, ServiceError
from services.field_encryption import FieldCipher
from services.masking import mask_for
from services.permissions import Permission
from services.record_fields import time_text

NO_REQUEST = "There is no such question: it is somebody else's, or too long ago."
OVER = "Your access to this patient's record is not what it was when you asked. Ask again."


@dataclass(frozen=True, slots=True)
class Asked:
    """The text that a form had, and the vital signs as they were written; to tell whether it has others now."""

    text: str
    vital_signs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """``answer``: of a DONE one, as its use's ``check`` made it; None while there is none and where it may not be seen
    (any more): ``hidden`` says why. ``so_far``: texts of an answer that is being written, not checked yet. ``ahead``:
    how many are answered before it. ``is_stale``: what it rests on was changed since, or there is more."""

    id: uuid.UUID
    use: str
    patient_id: uuid.UUID
    visit_id: uuid.UUID | None
    state: str
    ahead: int
    asked_at: str | None
    so_far: tuple[str, ...]
    codes_so_far: tuple[dict[str, str], ...]  # the same of CID10: suggestions instead of words
    asked: Asked | None  # what it was asked about, besides the record; None where it may not be seen
    answer: dict[str, Any] | None
    code_warnings: dict[str, list[Oddity]]  # of the codes that an answer suggests those that are odd for the patient
    visit_priority: str | None  # with an answer about a visit: what it has now
    sources: dict[str, dict[str, Any]]  # ref → {"kind", "id", "version"}
    entries: int  # how many there were to be read; 0 where that is not known (any more)
    hidden: str | None
    failure: str | None
    is_stale: bool
    verdict: str | None
    led_to_id: uuid.UUID | None
    engine: str | None
    model: str | None
    model_digest: str | None
    seconds: float | None
    removed: int
    prompt_version: str


def show_request(session: Session, actor: Actor, cipher: FieldCipher, request_id: uuid.UUID) -> Shown:
    """In ``session``'s transaction, with the event of the reading once there is an answer. Raises Forbidden, NotFound
    (somebody else's, too)."""
    row = own_request(session, actor, request_id)
    hidden: str | None = None
    is_stale, standing = False, None
    try:
        is_stale, standing = _require_visible(session, actor, row)
    except ServiceError as error:
        hidden = error.detail
    answer: dict[str, Any] | None = None
    question: Question | None = None
    raw = ""
    if hidden is None and row.question_cipher is not None:
        try:
            question = open_question(cipher, row.id, row.question_cipher)
            answer = None if row.answer_cipher is None else _opened(cipher, row, row.answer_cipher, question)
            if answer is None and row.partial_cipher is not None:
                raw = cipher.decrypt_bytes(row.partial_cipher, row.id).decode()
        except ValueError:  # sealed under a key that is gone (`sigilo keys reencrypt` leaves what expires)
            question, hidden = None, NO_REQUEST
    # Words that are still being written are looked at several times a second, by whoever asked for them a moment ago:
    # the events of asking say that.
    if answer is not None and standing is not None:
        _note_shown(session, actor, row, standing)
    return Shown(
        id=row.id, use=row.use, patient_id=row.patient_id, visit_id=row.visit_id, state=row.state,
        ahead=_ahead(session, row), asked_at=time_text(row.created_at),
        so_far=() if question is None else tuple(map(question.put_back, words_so_far(raw, question.inputs))),
        codes_so_far=() if question is None else tuple(_codes_so_far(raw, question)),
        asked=None if question is None else _asked(question), answer=answer,
        code_warnings={} if standing is None else _code_warnings(session, row, standing, answer),
        visit_priority=None if answer is None else _visit_priority(session, row),
        sources={each["ref"]: each for each in row.inputs},
        entries=0 if question is None else question.inputs.entries, hidden=hidden, failure=row.failure,
        is_stale=is_stale, verdict=row.verdict, led_to_id=row.led_to_id, engine=row.engine, model=row.model,
        model_digest=row.model_digest, seconds=None if row.duration_ms is None else row.duration_ms / 1000,
        removed=row.removed or 0, prompt_version=row.prompt_version,
    )  # fmt: skip


def own_request(session: Session, actor: Actor, request_id: uuid.UUID, *, lock: bool = False) -> AiRequest:
    """Raises Forbidden, NotFound."""
    actor.require(Permission.AI_USE)
    row = session.get(AiRequest, request_id, with_for_update=lock or None, populate_existing=True)
    if row is None or row.requested_by != actor.user_id or row.acting_role != actor.role.value:
        raise NotFound(NO_REQUEST)
    return row


def patient_of_request(session: Session, actor: Actor, request_id: uuid.UUID) -> uuid.UUID:
    """Whom it is about. Raises Forbidden, NotFound."""
    return own_request(session, actor, request_id).patient_id


def use_and_patient(session: Session, actor: Actor, request_id: uuid.UUID) -> tuple[str, uuid.UUID]:
    """What it was asked for and whom it is about. Raises Forbidden, NotFound."""
    row = own_request(session, actor, request_id)
    return row.use, row.patient_id


def require_shown(session: Session, actor: Actor, row: AiRequest) -> None:
    """Before anything is made of an answer. Raises NotFound, Gone, Conflict where it may not be seen any more."""
    _require_visible(session, actor, row)
    if row.answer_cipher is None:
        raise NotFound(NO_REQUEST)


def opened_answer(cipher: FieldCipher, row: AiRequest) -> dict[str, Any]:
    """The answer with what its pseudonyms stand for. Raises NotFound when it is gone, or its key."""
    if row.answer_cipher is None or row.question_cipher is None:
        raise NotFound(NO_REQUEST)
    try:
        return _opened(cipher, row, row.answer_cipher, open_question(cipher, row.id, row.question_cipher))
    except ValueError:
        raise NotFound(NO_REQUEST) from None


def newest_request(session: Session, actor: Actor, patient_id: uuid.UUID, use: str) -> uuid.UUID | None:
    """This person's newest question of that kind about a patient, whose texts are still kept."""
    return session.scalar(
        select(AiRequest.id)
        .where(
            AiRequest.requested_by == actor.user_id, AiRequest.acting_role == actor.role.value,
            AiRequest.patient_id == patient_id, AiRequest.use == use, AiRequest.expires_at > func.now(),
            AiRequest.state != "CANCELLED",
        )
        .order_by(AiRequest.created_at.desc())
        .limit(1)
    )  # fmt: skip


def _require_visible(session: Session, actor: Actor, row: AiRequest) -> tuple[bool, Standing]:
    """Whether it is old, and how the actor stands to the patient. Raises Forbidden, NotFound, Gone and Conflict (the
    patient refused) where it may not be seen now."""
    _, standing = find_patient(session, actor, row.patient_id)
    require_no_refusal(session, row.patient_id)
    if row.expires_at <= datetime.now(UTC):
        raise NotFound(NO_REQUEST)
    now = _sources_now(session, actor, standing, row)
    for given in row.inputs:
        if not set(given["fields"]) <= set(now.get(given["id"], Now([], None)).fields):
            raise NotFound(OVER)
    is_changed = any(now[given["id"]].version != given["version"] for given in row.inputs)
    return is_changed or _has_more(session, row), standing


@dataclass(frozen=True, slots=True)
class Now:
    """One source today: the fields that this actor sees of it in the clear, and its version."""

    fields: list[str]
    version: int | None


def _sources_now(session: Session, actor: Actor, standing: Standing, row: AiRequest) -> dict[str, Now]:
    """Id → what is there now, of all that is there still."""
    ids: dict[str, list[uuid.UUID]] = {kind: [] for kind in ("record", "visit", "allergy")}
    for given in row.inputs:
        ids[given["kind"]].append(uuid.UUID(given["id"]))
    records = select(MedicalRecord).where(MedicalRecord.id.in_(ids["record"]), MedicalRecord.deleted_at.is_(None))
    found = {
        str(each.id): Now(visible_fields(record_mask_of(each, actor, standing), RECORD_FIELDS), each.version)
        for each in session.scalars(records)
    }
    restricted = restricted_visits(session, ids["visit"])
    for visit in session.scalars(select(Visit).where(Visit.id.in_(ids["visit"]))):
        mask = visit_mask_of(visit, standing, is_restricted=visit.id in restricted)
        found[str(visit.id)] = Now(visible_fields(mask, VISIT_FIELDS), visit.version)
    allergy_fields = visible_fields(mask_for("allergy", standing.relation), ALLERGY_FIELDS)
    for allergy_id in session.scalars(select(Allergy.id).where(Allergy.id.in_(ids["allergy"]))):
        found[str(allergy_id)] = Now(allergy_fields, None)
    return found


def _has_more(session: Session, row: AiRequest) -> bool:
    """Whether a record, an allergy or a visit was written since it was asked. What was asked of one text alone is about
    that text."""
    if row.use == "CID10":
        return False
    records = select(MedicalRecord.id).where(
        MedicalRecord.patient_id == row.patient_id, MedicalRecord.created_at > row.created_at,
        MedicalRecord.deleted_at.is_(None),
    )  # fmt: skip
    if row.led_to_id is not None:
        records = records.where(MedicalRecord.id != row.led_to_id)
    allergies = select(Allergy.id).where(Allergy.patient_id == row.patient_id, Allergy.created_at > row.created_at)
    visits = select(Visit.id).where(Visit.patient_id == row.patient_id, Visit.arrived_at > row.created_at)
    return bool(session.scalar(select(records.exists() | allergies.exists() | visits.exists())))


def _opened(cipher: FieldCipher, row: AiRequest, sealed: bytes, question: Question) -> dict[str, Any]:
    return shown(orjson.loads(cipher.decrypt_bytes(sealed, row.id)), question.put_back)


def _asked(question: Question) -> Asked:
    signs = {name: question.put_back(value) for name, value in question.inputs.vital_signs.items()}
    return Asked(question.put_back(question.inputs.text or ""), signs)


def _code_warnings(
    session: Session, row: AiRequest, standing: Standing, answer: dict[str, Any] | None
) -> dict[str, list[Oddity]]:
    """What the form says of a code that is written into it, as far as the reader sees of the patient."""
    suggested = [each["code"] for each in (answer or {}).get("suggestions", ())]
    patient = session.get_one(Patient, row.patient_id)
    seen = visible_fields(mask_for("patient", standing.relation), ("sex", "deceasedAt"))
    found: dict[str, list[Oddity]] = {}
    for each in code_warnings(
        session, suggested, sex=patient.sex if "sex" in seen else None,
        is_deceased="deceasedAt" in seen and patient.deceased_at is not None,
    ):  # fmt: skip
        found.setdefault(each.code, []).append(each.oddity)
    return found


def _visit_priority(session: Session, row: AiRequest) -> str | None:
    return None if row.visit_id is None else session.get_one(Visit, row.visit_id).priority


def _codes_so_far(raw: str, question: Question) -> Iterator[dict[str, str]]:
    for each in codes_so_far(raw, question.inputs):
        yield each | {"because": question.put_back(each["because"])}


def _note_shown(session: Session, actor: Actor, row: AiRequest, standing: Standing) -> None:
    ids = tuple(uuid.UUID(each["id"]) for each in row.inputs if each["kind"] == "record")
    record(
        session, actor,
        Event("ai.read", "ai_request", row.id, entity_ids=ids or None, patient_id=row.patient_id,
              basis=standing.basis(), basis_id=standing.grant_id),
    )  # fmt: skip


def _ahead(session: Session, row: AiRequest) -> int:
    """How many will be answered before it, the one that is being answered included."""
    if row.state != "WAITING":
        return 0
    before = (AiRequest.rank > row.rank) | ((AiRequest.rank == row.rank) & (AiRequest.created_at < row.created_at))
    waiting = (AiRequest.state == "WAITING") & before
    return session.scalar(select(func.count()).where((AiRequest.state == "RUNNING") | waiting)) or 0
