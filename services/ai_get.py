"""Show a question and its answer to whoever asked it, through what they may see now.

An answer says what its asker saw when they asked. Whoever sees less of any of it by now is shown nothing of the answer
(SECURITY 38); where a record was changed or written since, the answer says that it is old.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import AiRequest, Patient, Visit
from services.access import Standing
from services.actor import Actor
from services.ai_gather import visible_fields
from services.ai_prompts.checked import shown
from services.ai_prompts.so_far import codes_so_far, words_so_far
from services.ai_question import Question, open_question
from services.ai_visible import NO_REQUEST, require_visible
from services.audit_event import Event, record
from services.cid10_warnings import Oddity, code_warnings
from services.errors import NotFound, ServiceError
from services.field_encryption import FieldCipher
from services.masking import mask_for
from services.permissions import Permission
from services.record_fields import time_text


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
    waits_for: str | None  # of a WAITING one that a worker tried: "AWAY" or "TAKEN", what the model is
    fallback_reason: str | None  # why rules answered in the model's place
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
        is_stale, standing = require_visible(session, actor, row)
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
        waits_for=_waits_for(row), fallback_reason=row.fallback_reason,
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
    require_visible(session, actor, row)
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


def _waits_for(row: AiRequest) -> str | None:
    if row.state != "WAITING":
        return None
    return "AWAY" if row.started_at is not None else "TAKEN" if row.taken_at is not None else None


def _ahead(session: Session, row: AiRequest) -> int:
    """How many will be answered before it, the one that is being answered included."""
    if row.state != "WAITING":
        return 0
    before = (AiRequest.rank > row.rank) | ((AiRequest.rank == row.rank) & (AiRequest.created_at < row.created_at))
    waiting = (AiRequest.state == "WAITING") & before
    return session.scalar(select(func.count()).where((AiRequest.state == "RUNNING") | waiting)) or 0
