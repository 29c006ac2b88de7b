"""Ask the local model: a row that waits for its worker, with everything in it that the answer may rest on.

The same question of the same person is one row while it waits or its answer stands. A person and the clinic may ask so
many in a window (AI_USER_QUOTA, AI_CLINIC_QUOTA), counted in the rows themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Boolean, ColumnElement, func, literal_column, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Settings, parse_rate
from models import AiRequest, MedicalRecord, Visit, new_id
from models.advisory_locks import AI_QUOTA
from services.access import find_patient
from services.actor import Actor
from services.ai_gather import Gathered, diagnosis_of, gather, sees_contents
from services.ai_prompts.inputs import TEXT_MAX, Inputs, Source
from services.ai_question import make_question, seal_question
from services.ai_refusal import refused_since
from services.audit_event import Event, record
from services.cid10_search import search
from services.errors import Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from services.field_encryption import FieldCipher
from services.masking import Relation
from services.permissions import Permission
from services.visit_create import require_desk
from services.visit_fields import OPEN
from services.visit_write import NO_VISIT
from services.vital_signs import VitalSigns

CANDIDATES = 20
# Who waits in front of a patient goes before who reads at leisure.
RANKS = {"PRIORITY": 20, "CID10": 10, "SUMMARY": 0}
LOCK = text(f"SELECT pg_advisory_xact_lock({AI_QUOTA})")
REFUSED_SINCE: ColumnElement[bool] = literal_column(refused_since("ai_requests"), Boolean)
NOTHING_SHOWN = (
    "Diagnosis, treatment and notes are hidden from you, so there is nothing that you could have summed up."
)
TOO_MANY = "You have used up your questions to the model for now."
TOO_MANY_HERE = "The clinic has used up its questions to the model for now."


@dataclass(frozen=True, slots=True)
class Asked:
    """``is_new``: somebody has to wake the worker after the commit."""

    id: uuid.UUID
    is_new: bool


def ask_summary(
    session: Session, actor: Actor, settings: Settings, cipher: FieldCipher, patient_id: uuid.UUID
) -> Asked:
    """A summary of the patient's record. Raises Forbidden (also who sees captions alone), NotFound, Gone, Conflict
    (refused, or nothing to read), QuotaExceeded."""
    actor.require(Permission.AI_USE)
    _, standing = find_patient(session, actor, patient_id)
    if standing.relation is Relation.OUTSIDE and not sees_contents(session, actor, patient_id):
        raise Forbidden(NOTHING_SHOWN)
    found = gather(session, actor, cipher, patient_id, _today(settings))
    if not any(each.kind == "record" for each in found.sources):
        raise Conflict("There is nothing in this patient's record that you may read and that could be summed up.")
    return _ask(session, actor, settings, cipher, found, _inputs("SUMMARY", found, settings))


def ask_codes(
    session: Session, actor: Actor, settings: Settings, cipher: FieldCipher, patient_id: uuid.UUID, diagnosis: str,
    *, edited: MedicalRecord | None = None,
) -> Asked:  # fmt: skip
    """CID-10 codes for a diagnosis that is being written; ``edited``: the record that it stands in already, whose words
    an answer has and is shown no longer than they are. Raises as ``ask_summary``, Invalid (no text, or too long)."""
    stated = _stated(diagnosis, "/diagnosis")
    found = gather(session, actor, cipher, patient_id, _today(settings), reads_record=False)
    candidates = tuple((each.code, each.title) for each in search(session, stated, sex=found.sex, limit=CANDIDATES))
    if not candidates:
        raise Conflict("No code of the table fits this text. Write the diagnosis in other words, or the code itself.")
    if edited is not None:
        found = replace(found, sources=diagnosis_of(edited, actor, found.standing))
    inputs = replace(_inputs("CID10", found, settings), text=stated, candidates=candidates)
    return _ask(session, actor, settings, cipher, found, inputs)


def ask_priority(
    session: Session,
    actor: Actor,
    settings: Settings,
    cipher: FieldCipher,
    visit_id: uuid.UUID,
    *,
    complaint: str,
    signs: VitalSigns,
) -> Asked:
    """How urgent a visit is, from why the patient came and what was measured and written since. Raises as
    ``ask_codes``, Conflict (the visit is closed)."""
    visit = session.get(Visit, visit_id)
    if visit is None:
        raise NotFound(NO_VISIT)
    found = gather(session, actor, cipher, visit.patient_id, _today(settings))
    require_desk(actor, found.standing)
    if visit.status not in OPEN:
        raise Conflict("This visit is closed already.")
    problems = list(signs.problems())
    if problems:
        raise Invalid("The triage has fields that can't be accepted.", problems)
    seen = next((each.fields for each in found.sources if each.id == visit.id), {})
    stated = "\n".join(part for part in (seen.get("reason", ""), complaint.strip()) if part)
    inputs = replace(_inputs("PRIORITY", found, settings), text=_stated(stated, "/notes"), vital_signs=signs.texts())
    return _ask(session, actor, settings, cipher, found, inputs, visit_id=visit.id)


def _stated(given: str, pointer: str) -> str:
    stated = given.strip()
    if not stated:
        raise Invalid.at(pointer, "write it first: there is nothing to ask about yet")
    if len(stated) > TEXT_MAX:
        raise Invalid.at(pointer, f"shorten it: at most {TEXT_MAX} characters are read")
    return stated


def _today(settings: Settings) -> date:
    return datetime.now(settings.timezone).date()


def _inputs(use: str, found: Gathered, settings: Settings) -> Inputs:
    """What a question is about, by the clinic's days: its evening is the next day's already elsewhere."""
    sources = tuple(replace(each, at=each.at and each.at.astimezone(settings.timezone)) for each in found.sources)
    return Inputs(use=use, sources=sources, age=found.age, sex=found.sex, entries=found.entries)


def _ask(
    session: Session,
    actor: Actor,
    settings: Settings,
    cipher: FieldCipher,
    found: Gathered,
    inputs: Inputs,
    *,
    visit_id: uuid.UUID | None = None,
) -> Asked:
    question = make_question(inputs, found.pseudonyms)
    read = {each.ref for each in question.inputs.sources}
    sources = [each for each in inputs.sources if each.ref in read]
    digest = _digest(settings, cipher, actor, found, visit_id, inputs, question.prompt.version)
    standing = _same(session, actor, digest)
    if standing is not None:
        return Asked(standing, is_new=False)
    _spend(session, actor, settings)
    row_id = new_id()
    statement = insert(AiRequest).values(
        id=row_id, use=inputs.use, patient_id=found.patient.id, visit_id=visit_id, requested_by=actor.user_id,
        acting_role=actor.role.value, rank=RANKS[inputs.use], content_hash=digest, inputs=_kept(sources),
        visible=found.visible, prompt_version=question.prompt.version,
        question_cipher=seal_question(cipher, row_id, question),
        expires_at=datetime.now(UTC) + timedelta(hours=settings.ai_ttl_hours),
    )  # fmt: skip
    session.execute(statement)
    record(
        session, actor,
        Event("ai.request", "ai_request", row_id, patient_id=found.patient.id, basis=found.standing.basis(),
              basis_id=found.standing.grant_id),
    )  # fmt: skip
    return Asked(row_id, is_new=True)


def _kept(sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [
        {"ref": each.ref, "kind": each.kind, "id": str(each.id), "version": each.version, "fields": sorted(each.fields)}
        for each in sources
    ]


def _digest(
    settings: Settings, cipher: FieldCipher, actor: Actor, found: Gathered, visit_id: uuid.UUID | None, inputs: Inputs,
    version: str,
) -> bytes:  # fmt: skip
    """Keyed, since the texts of a small clinic could be guessed. Pseudonyms are drawn anew for every question and so
    are no part of it; whom and which visit it is about is, for two patients may have the same diagnosis."""
    told: dict[str, Any] = {
        "use": inputs.use, "patient": str(found.patient.id), "visit": str(visit_id), "age": inputs.age,
        "sex": inputs.sex, "role": actor.role.value, "prompt": version,
        "model": settings.ai_model if settings.ollama_url else None, "text": inputs.text,
        "candidates": inputs.candidates, "signs": dict(inputs.vital_signs), "sources": _kept(inputs.sources),
    }  # fmt: skip
    return hmac.digest(cipher.digest_key, orjson.dumps(told, option=orjson.OPT_SORT_KEYS), hashlib.sha256)


def _same(session: Session, actor: Actor, digest: bytes) -> uuid.UUID | None:
    """The same question of this person, while it is at work or its answer stands. After a verdict it is asked anew."""
    session.execute(LOCK)  # two presses of one button are one question
    _give_up(session, actor, digest)
    return session.scalar(
        select(AiRequest.id)
        .where(
            AiRequest.requested_by == actor.user_id, AiRequest.content_hash == digest,
            AiRequest.state.in_(("WAITING", "RUNNING", "DONE")), AiRequest.expires_at > func.now(),
            AiRequest.verdict.is_(None), ~REFUSED_SINCE,
        )
        .order_by(AiRequest.created_at.desc())
        .limit(1)
    )  # fmt: skip


def _give_up(session: Session, actor: Actor, digest: bytes) -> None:
    """One that waited until its texts expired, with no worker there, or whose patient refused meanwhile, is not
    answered any more and makes room."""
    session.execute(
        update(AiRequest)
        .where(
            AiRequest.requested_by == actor.user_id, AiRequest.content_hash == digest,
            AiRequest.state.in_(("WAITING", "RUNNING")),
            (AiRequest.expires_at <= func.now()) | REFUSED_SINCE,
        )
        .values(
            state="CANCELLED", cancelled_at=func.now(), finished_at=func.now(), question_cipher=None,
            partial_cipher=None,
        )
        .execution_options(synchronize_session=False)
    )  # fmt: skip


def _spend(session: Session, actor: Actor, settings: Settings) -> None:
    """Under the lock that ``_same`` took, so that they are counted exactly."""
    wait = _used_up(session, settings.ai_user_quota, AiRequest.requested_by == actor.user_id)
    if wait:
        raise QuotaExceeded(TOO_MANY, wait)
    wait = _used_up(session, settings.ai_clinic_quota, true())
    if wait:
        raise QuotaExceeded(TOO_MANY_HERE, wait)


def _used_up(session: Session, rate: str, whose: ColumnElement[bool]) -> int:
    """Seconds until the next question fits into ``rate``; 0: it does now."""
    most, seconds = parse_rate(rate)
    since = func.now() - timedelta(seconds=seconds)
    newest = (
        select(AiRequest.created_at).where(whose, AiRequest.created_at > since)
        .order_by(AiRequest.created_at.desc()).limit(most).subquery()
    )  # fmt: skip
    count, oldest = session.execute(select(func.count(), func.min(newest.c.created_at))).one()
    if count < most:
        return 0
    wait = timedelta(seconds=seconds) - (datetime.now(UTC) - oldest)
    return max(1, int(wait.total_seconds()) + 1)
