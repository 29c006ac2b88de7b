"""What was asked of a language model, what it answered, and what a person made of it; and who wants none of it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

AI_USES = ("SUMMARY", "CID10", "PRIORITY")
AI_STATES = ("WAITING", "RUNNING", "DONE", "FAILED", "CANCELLED")
AI_ENGINES = ("OLLAMA", "RULES")
# Why rules answered where a model was to: the codes of its errors (integrations/language_model.py).
AI_FALLBACKS = ("UNAVAILABLE", "BUSY", "TAKEN", "MISSING", "PROMPT_TOO_LONG", "ANSWER_INVALID", "ANSWER_TOO_LONG")
AI_VERDICTS = ("ACCEPTED", "EDITED", "REJECTED")
# SQL boolean: a worker has it, or is still to take it.
AT_WORK = "state IN ('WAITING', 'RUNNING')"


class AiRequest(Base):
    """One question of one person about one patient, and its answer.

    Texts are encrypted with the field key, bound to the row: ``question_cipher`` holds what leaves for the model, what
    it was made from, and what its pseudonyms stand for; ``partial_cipher`` the answer as far as it has come,
    ``answer_cipher`` the checked one. All three go when the row expires; what it was made with, and the verdict, stay.
    """

    __tablename__ = "ai_requests"

    id: Mapped[PrimaryKey]
    use: Mapped[str]
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    visit_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("visits.id"))
    requested_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    acting_role: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="WAITING", default="WAITING")
    rank: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # the higher, the sooner
    # HMAC over use, asker's view, inputs and prompt version: the same question has the same answer.
    content_hash: Mapped[bytes]
    # What it may rest on, as the asker saw it: [{"ref", "kind", "id", "version", "fields"}].
    inputs: Mapped[list[dict[str, Any]]] = mapped_column(JSONB())
    # All that the asker saw then, read or not: [kind, id, version]; to tell whether there is something else now. None
    # of a question about one text alone.
    visible: Mapped[list[list[Any]] | None] = mapped_column(JSONB(none_as_null=True))
    prompt_version: Mapped[str]
    question_cipher: Mapped[bytes | None]
    partial_cipher: Mapped[bytes | None]
    answer_cipher: Mapped[bytes | None]
    engine: Mapped[str | None]
    model: Mapped[str | None]
    model_digest: Mapped[str | None]
    parameters: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    prompt_tokens: Mapped[int | None]
    answer_tokens: Mapped[int | None]
    first_text_ms: Mapped[int | None]  # from its start to the first words
    duration_ms: Mapped[int | None]
    removed: Mapped[int | None]  # sentences, codes or reasons without a valid source, which nobody was shown
    is_repaired: Mapped[bool | None]
    failure: Mapped[str | None]  # a code, see services/ai_run.py
    fallback_reason: Mapped[str | None]  # why rules answered in the model's place, one of AI_FALLBACKS
    attempts: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    next_attempt_at: Mapped[CreatedAt]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    taken_at: Mapped[datetime | None]  # since when a worker finds the model answering others
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]  # asked for; a worker that is at it stops
    expires_at: Mapped[datetime]
    verdict: Mapped[str | None]
    verdict_at: Mapped[datetime | None]
    # What was accepted became: the record or visit that a person changed.
    led_to_id: Mapped[uuid.UUID | None]

    __table_args__ = (
        Index("ix_ai_requests_queue", text("rank DESC"), "created_at", postgresql_where=text(AT_WORK)),
        # The same question again while it is being answered is the same row.
        Index("uq_ai_requests_at_work", "requested_by", "content_hash", unique=True, postgresql_where=text(AT_WORK)),
        Index("ix_ai_requests_patient_id", "patient_id", "created_at"),
        Index("ix_ai_requests_requested_by", "requested_by", "created_at"),
        Index("ix_ai_requests_created_at", "created_at"),
        CheckConstraint(one_of("use", AI_USES), "use_known"),
        CheckConstraint(one_of("state", AI_STATES), "state_known"),
        CheckConstraint(f"engine IS NULL OR {one_of('engine', AI_ENGINES)}", "engine_known"),
        CheckConstraint(f"verdict IS NULL OR ({one_of('verdict', AI_VERDICTS)} AND state = 'DONE')", "verdict_known"),
        CheckConstraint("(verdict IS NULL) = (verdict_at IS NULL)", "verdict_whole"),
        CheckConstraint(f"({AT_WORK}) = (finished_at IS NULL)", "finished"),
        CheckConstraint("(state = 'FAILED') = (failure IS NOT NULL)", "failed"),
        CheckConstraint("state <> 'DONE' OR (engine IS NOT NULL AND model IS NOT NULL)", "provenance"),
        CheckConstraint(
            f"fallback_reason IS NULL OR ({one_of('fallback_reason', AI_FALLBACKS)} AND engine = 'RULES')",
            "fallback_known",
        ),
        CheckConstraint("length(content_hash) = 32", "content_hash_length"),
    )


class AiRefusal(Base):
    """The patient wants no AI used on their record, from ``refused_at`` on; ``ended_at``: they changed their mind."""

    __tablename__ = "ai_refusals"

    id: Mapped[PrimaryKey]
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    refused_at: Mapped[CreatedAt]
    noted_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))  # themselves, or who they told
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        Index("uq_ai_refusals_standing", "patient_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", "ended_whole"),
    )
