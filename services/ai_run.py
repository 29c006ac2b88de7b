"""Answer the questions that wait, one after the other, as the worker.

A question is claimed in one short transaction and answered outside of any; meanwhile a second thread keeps what has
come so far, says that somebody is at it, and looks whether it is still wanted. Whoever dies leaves a row that the next
one takes up. Where the model is away the question waits a little and is then answered by rules alone, which is said.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config import Principal
from integrations.language_model import (
    Answer,
    AnswerCancelled,
    LanguageModel,
    LanguageModelError,
    ModelBusy,
    ModelTaken,
)
from models.engine import Databases
from observability.metrics import AI_FALLBACKS, AI_QUESTIONS, AI_SECONDS, AI_SOURCE, AI_TOKENS, AI_USE
from services.ai_prompts.rules import RULES
from services.ai_question import USES, Question, open_question
from services.ai_refusal import refused_since
from services.field_encryption import FieldCipher

SHOW_SECONDS = 0.25  # between two looks at what has come so far
BEAT_SECONDS = 5.0
LOST_SECONDS = 30  # without a sign of its worker
WAITS_FOR_MODEL = 60.0  # seconds after a worker first found it away; then rules answer
# Seconds that a question waits while the model answers others of this clinic's machines (another worker's question, or
# `sigilo ai evaluate`); then rules answer. Somebody waits for it, and it is tried again every TURN_SECONDS.
WAITS_FOR_TURN = 120.0
TURN_SECONDS = 1.0
MOST_ATTEMPTS = 5  # also of those whose worker died
DIED, KEY_GONE = "DIED", "KEY_GONE"  # why a question failed; templates/ai/words.html has the sentences

# SQL boolean, for the scheduler.
WAITING = f"""
    EXISTS (SELECT FROM ai_requests WHERE (state = 'WAITING' AND next_attempt_at <= now())
        OR (state = 'RUNNING' AND heartbeat_at < now() - interval '{LOST_SECONDS} seconds'))
"""
CLAIM = text(f"""
    UPDATE ai_requests a SET state = 'RUNNING', attempts = attempts + 1, started_at = coalesce(started_at, now()),
        heartbeat_at = now(), partial_cipher = NULL
    WHERE a.id = (
        SELECT id FROM ai_requests
        WHERE (state = 'WAITING' AND next_attempt_at <= now())
            OR (state = 'RUNNING' AND heartbeat_at < now() - interval '{LOST_SECONDS} seconds')
        ORDER BY rank DESC, created_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING a.id, a.use, a.question_cipher, a.attempts, extract(epoch FROM now() - a.started_at)::float8 AS age,
        coalesce(extract(epoch FROM now() - a.taken_at), 0)::float8 AS taken_for,
        a.expires_at <= now() OR {refused_since("a")} AS is_unwanted
""")
# Only what is still ours: another may have taken it for lost, or nobody wants it any more.
OURS = "id = :id AND state = 'RUNNING' AND attempts = :attempts"
NOT_WANTED = f"""
    SELECT NOT EXISTS (SELECT FROM ai_requests WHERE {OURS} AND cancelled_at IS NULL)
        OR EXISTS (SELECT FROM ai_requests a WHERE a.id = :id AND {refused_since("a")})
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claimed:
    id: uuid.UUID
    use: str
    sealed: bytes | None
    attempts: int
    age: float  # seconds since a worker first took it up; a wait in the queue says nothing about the model
    taken_for: float  # seconds since one found the model answering others; 0: it did not


def run_next(databases: Databases, cipher: FieldCipher, model: LanguageModel | None) -> bool:
    """Answer the next question; False when none waits."""
    with databases.session(Principal.WORKER) as session:
        row = session.execute(CLAIM).one_or_none()
    if row is None:
        return False
    claimed = Claimed(row.id, row.use, row.question_cipher, row.attempts, row.age, row.taken_for)
    if claimed.sealed is None or row.is_unwanted:
        _end(databases, claimed, state="CANCELLED")
    elif claimed.attempts > MOST_ATTEMPTS:
        _end(databases, claimed, state="FAILED", failure=DIED)
    else:
        _answer(databases, cipher, model, claimed, claimed.sealed)
    return True


def _answer(
    databases: Databases, cipher: FieldCipher, model: LanguageModel | None, claimed: Claimed, sealed: bytes
) -> None:
    try:
        question = open_question(cipher, claimed.id, sealed)
    except ValueError:
        _end(databases, claimed, state="FAILED", failure=KEY_GONE)
        return
    try:
        with _watched(databases, cipher, claimed) as watch:
            answer = _asked(model, question, watch)
    except AnswerCancelled:
        _end(databases, claimed, state="CANCELLED")
    except ModelTaken as error:
        if claimed.taken_for < WAITS_FOR_TURN:
            _put_back(databases, claimed, TURN_SECONDS, is_taken=True)
        else:
            _fall_back(databases, cipher, claimed, question, error)
    except LanguageModelError as error:
        if error.is_passing and claimed.age < WAITS_FOR_MODEL:
            _put_back(databases, claimed, error.retry_after if isinstance(error, ModelBusy) else 5.0)
        else:
            _fall_back(databases, cipher, claimed, question, error)
    else:
        _keep(databases, cipher, claimed, question, answer)


def _fall_back(
    databases: Databases, cipher: FieldCipher, claimed: Claimed, question: Question, error: LanguageModelError
) -> None:
    log.warning("answered by rules", use=claimed.use, reason=error.code)
    _keep(databases, cipher, claimed, question, _by_rules(question), because=error.code)


def _asked(model: LanguageModel | None, question: Question, watch: Watch) -> Answer:
    if model is None:
        return _by_rules(question)
    return model.answer(question.prompt, on_text=watch.show, is_cancelled=lambda: watch.is_unwanted)


def _by_rules(question: Question) -> Answer:
    started = time.monotonic()
    value = USES[question.inputs.use].by_rules(question.inputs)
    return Answer(value, RULES, None, None, time.monotonic() - started, None, is_repaired=False)


@dataclass(slots=True)
class Watch:
    """What the answering thread and the one beside it tell each other."""

    text: str = ""
    is_unwanted: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def show(self, so_far: str) -> None:
        self.text = so_far


@contextmanager
def _watched(databases: Databases, cipher: FieldCipher, claimed: Claimed) -> Iterator[Watch]:
    watch = Watch()
    beside = threading.Thread(target=_look_after, args=(databases, cipher, claimed, watch), daemon=True)
    beside.start()
    try:
        yield watch
    finally:
        watch.over.set()
        beside.join()


def _look_after(databases: Databases, cipher: FieldCipher, claimed: Claimed, watch: Watch) -> None:
    shown, beaten = "", time.monotonic()
    while not watch.over.wait(SHOW_SECONDS):
        values: dict[str, Any] = {}
        if watch.text != shown:
            shown = watch.text
            values["partial_cipher"] = cipher.encrypt_bytes(shown.encode(), claimed.id)
        is_beat = time.monotonic() - beaten >= BEAT_SECONDS
        try:
            with databases.session(Principal.WORKER) as session:
                watch.is_unwanted = bool(session.scalar(text(NOT_WANTED), _whose(claimed)))
                if values or is_beat:
                    beaten = time.monotonic()
                    _set(session, claimed, "heartbeat_at = now()", **values)
        except SQLAlchemyError as error:  # the database is away for a moment: the answer is not
            log.warning("progress not kept", error=type(error).__name__)


def _keep(
    databases: Databases,
    cipher: FieldCipher,
    claimed: Claimed,
    question: Question,
    answer: Answer,
    *,
    because: str | None = None,
) -> None:
    """The answer, checked against what it may rest on; its pseudonyms are put back only for whoever may see it."""
    checked = USES[claimed.use].check(question.inputs, answer.value)
    payload = orjson.dumps(checked.payload)
    seconds = answer.first_text_seconds
    is_kept = _end(
        databases, claimed, state="DONE", answer_cipher=cipher.encrypt_bytes(payload, claimed.id),
        engine=answer.info.engine, model=answer.info.name, model_digest=answer.info.digest,
        parameters=orjson.dumps(dict(answer.info.parameters)).decode(), prompt_tokens=answer.prompt_tokens,
        answer_tokens=answer.answer_tokens, first_text_ms=None if seconds is None else round(seconds * 1000),
        duration_ms=round(answer.seconds * 1000), removed=checked.removed, is_repaired=answer.is_repaired,
        fallback_reason=because,
    )  # fmt: skip
    AI_TOKENS.labels("prompt").inc(answer.prompt_tokens or 0)
    AI_TOKENS.labels("answer").inc(answer.answer_tokens or 0)
    if is_kept and because is not None:
        AI_FALLBACKS.labels(AI_USE[claimed.use], because.lower()).inc()
    if is_kept:
        AI_SECONDS.labels(AI_USE[claimed.use], AI_SOURCE[answer.info.engine]).observe(answer.seconds)


def _put_back(databases: Databases, claimed: Claimed, seconds: float, *, is_taken: bool = False) -> None:
    """Into the queue, at its old place, for later; waiting for a model is no attempt. ``is_taken``: nor does it
    count as a model that is away."""
    taken = ", started_at = NULL, taken_at = coalesce(taken_at, now())" if is_taken else ""
    with databases.session(Principal.WORKER) as session:
        _set(
            session, claimed,
            "state = 'WAITING', attempts = attempts - 1,"
            f" next_attempt_at = now() + make_interval(secs => :wait){taken}",
            wait=seconds,
        )  # fmt: skip


def _end(databases: Databases, claimed: Claimed, *, state: str, **values: Any) -> bool:
    """Whether anybody still waited for it."""
    with databases.session(Principal.WORKER) as session:
        is_ours = _set(session, claimed, "finished_at = now(), partial_cipher = NULL", state=state, **values)
    if is_ours:
        AI_QUESTIONS.labels(AI_USE[claimed.use], state.lower()).inc()
    else:
        log.info("nobody waits for this answer any more", use=claimed.use)
    return is_ours


def _set(session: Session, claimed: Claimed, settings: str, **values: Any) -> bool:
    """Whether the row was still this worker's."""
    named = [f"{name} = CAST(:{name} AS jsonb)" if name == "parameters" else f"{name} = :{name}"
             for name in values if name != "wait"]  # fmt: skip
    statement = f"UPDATE ai_requests SET {', '.join([settings, *named])} WHERE {OURS} RETURNING id"
    return session.execute(text(statement), _whose(claimed) | values).first() is not None


def _whose(claimed: Claimed) -> dict[str, Any]:
    return {"id": claimed.id, "attempts": claimed.attempts}
