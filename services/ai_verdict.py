"""A person accepts, edits or rejects what the model answered; only then does anything change, as that person.

What is written with an accepted answer in it says so in the chart: which model, which version of it, and that the
signer has read and answers for it (CFM resolution 2.454/2026; LGPD art. 20).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import AiRequest, MedicalRecord
from models.record import CLINICAL_TEXT_MAX
from models.user import Role
from observability.metrics import AI_USE, AI_VERDICTS
from services.actor import Actor
from services.ai_gather import restricted_visits
from services.ai_get import opened_answer, own_request, require_shown
from services.audit_event import Event, record
from services.errors import Conflict, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.record_create import NewRecord, create_record

Verdict = Literal["ACCEPTED", "EDITED", "REJECTED"]
SETTLED = "This answer was accepted or rejected already."
SUMMARY_TITLE = "Resumo do prontuário"  # the chart's language is the clinic's, whoever's page wrote it
WORDS = {
    "SUMMARY": "Resumo feito com apoio de inteligência artificial",
    "CID10": "CID-10 escolhido com apoio de inteligência artificial",
    "PRIORITY": "Prioridade definida com apoio de inteligência artificial",
}
BY_RULES = {
    "SUMMARY": "Resumo feito com apoio de extração automática por regras",
    "CID10": "CID-10 escolhido com apoio de busca automática por regras",
    "PRIORITY": "Prioridade definida com apoio de regras automáticas",
}


def chart_note(row: AiRequest) -> str:
    """The sentence for the chart."""
    if row.engine == "RULES":
        return f"{BY_RULES[row.use]} ({row.model}), sem modelo de linguagem; revisto por quem assina."
    digest = f", {row.model_digest[:12]}" if row.model_digest else ""
    return f"{WORDS[row.use]} (modelo local {row.model}{digest}); revisto por quem assina."


def reject(session: Session, actor: Actor, request_id: uuid.UUID) -> None:
    """Raises Forbidden, NotFound, Conflict (settled already, or not answered yet)."""
    row = _to_settle(session, actor, request_id)
    _settle(session, actor, row, "REJECTED", None)


def accept_summary(
    session: Session, actor: Actor, cipher: FieldCipher, request_id: uuid.UUID, edited: str
) -> uuid.UUID:
    """Write the summary, as the actor left it, into a new record of theirs; gives its id. Raises Forbidden, NotFound,
    Conflict, Gone, Invalid (no text, or too long with the line of the chart below it), and what ``create_record``
    does."""
    row = _to_settle(session, actor, request_id)
    if row.use != "SUMMARY":
        raise NotFound("This is no summary.")
    require_shown(session, actor, row)
    stated = edited.strip()
    if not stated:
        raise Invalid.at("/text", "write what is to stand in the record")
    noted = f"{stated}\n\n{chart_note(row)}"
    if len(noted) > CLINICAL_TEXT_MAX:
        raise Invalid.at("/text", "shorten it a little: the record also has to say that AI helped")
    verdict: Verdict = "ACCEPTED" if _same(stated, summary_text(cipher, row)) else "EDITED"
    # Nurses' own records are triage notes.
    kind = "TRIAGE" if actor.role is Role.NURSE else "CONSULTATION"
    content: dict[str, Any] = {"kind": kind, "title": SUMMARY_TITLE, "notes": noted}
    if rests_on_restricted(session, row):
        content["restricted"] = True
    written = create_record(session, actor, cipher, NewRecord(row.patient_id, content, visit_id=row.visit_id))
    _settle(session, actor, row, verdict, written.record.id)
    return written.record.id


def rests_on_restricted(session: Session, row: AiRequest) -> bool:
    """Whether it was told of a restricted record, or why somebody came of whose visit one was written: then what is
    written with it is kept as close."""
    ids: dict[str, list[uuid.UUID]] = {"record": [], "visit": [], "allergy": []}
    for each in row.inputs:
        ids[each["kind"]].append(uuid.UUID(each["id"]))
    found = select(MedicalRecord.id).where(MedicalRecord.id.in_(ids["record"]), MedicalRecord.restricted)
    return session.scalar(found.limit(1)) is not None or bool(restricted_visits(session, ids["visit"]))


def summary_text(cipher: FieldCipher, row: AiRequest) -> str:
    """The sentences of the answer, a line each."""
    return "\n".join(each["text"] for each in opened_answer(cipher, row)["sentences"])


def helped_by(
    session: Session, actor: Actor, patient_id: uuid.UUID, request_ids: Iterable[uuid.UUID]
) -> list[AiRequest]:
    """The answers that a form was filled with, locked: of this person, about this patient, given and not settled yet.
    What is none of these is left out, since the form is the person's own. An answer that may not be seen any more, as
    when the patient refused meanwhile or its texts are gone, did help all the same."""
    found = []
    for request_id in dict.fromkeys(request_ids):
        try:
            row = _to_settle(session, actor, request_id)
        except (NotFound, Conflict):
            continue
        if row.patient_id == patient_id:
            found.append(row)
    return found


def opened_if_kept(cipher: FieldCipher, row: AiRequest) -> dict[str, Any] | None:
    """The answer; None when its texts are gone."""
    try:
        return opened_answer(cipher, row)
    except NotFound:
        return None


def settle_used(session: Session, actor: Actor, row: AiRequest, led_to: uuid.UUID, *, was_changed: bool) -> None:
    """What was saved took the answer over, as it was or changed."""
    _settle(session, actor, row, "EDITED" if was_changed else "ACCEPTED", led_to)


def _to_settle(session: Session, actor: Actor, request_id: uuid.UUID) -> AiRequest:
    row = own_request(session, actor, request_id, lock=True)
    if row.state != "DONE":
        raise Conflict("There is no answer yet.")
    if row.verdict is not None:
        raise Conflict(SETTLED)
    return row


def _settle(session: Session, actor: Actor, row: AiRequest, verdict: Verdict, led_to: uuid.UUID | None) -> None:
    row.verdict, row.verdict_at, row.led_to_id = verdict, datetime.now(UTC), led_to
    if verdict == "REJECTED":
        row.question_cipher = row.answer_cipher = None
    action = {"ACCEPTED": "ai.accept", "EDITED": "ai.edit", "REJECTED": "ai.reject"}[verdict]
    record(session, actor, Event(action, "ai_request", row.id, patient_id=row.patient_id))
    session.flush()
    AI_VERDICTS.labels(AI_USE[row.use], verdict.lower()).inc()


def _same(one: str, other: str) -> bool:
    return one.split() == other.split()
