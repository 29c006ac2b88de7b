"""What is counted: refused requests, exact look-ups of identifiers, and replayed writes."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey


class RateLimitLog(Base):
    """A request that a quota refused, or that used the last tenth of it."""

    __tablename__ = "rate_limit_log"

    id: Mapped[PrimaryKey]
    occurred_at: Mapped[CreatedAt]
    bucket: Mapped[str]  # api, pages, anonymous, login
    outcome: Mapped[str]  # refused | near
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    token_id: Mapped[uuid.UUID | None]
    ip: Mapped[str | None] = mapped_column(INET)
    route: Mapped[str | None]  # the rule, never the path: paths carry identifiers
    quota: Mapped[str]
    retry_after: Mapped[int | None]  # seconds

    __table_args__ = (
        Index("ix_rate_limit_log_occurred_at", "occurred_at"),
        CheckConstraint("outcome IN ('refused', 'near')", "outcome_known"),
    )


class IdentifierLookup(Base):
    """One exact look-up of a CPF or CNS by somebody who sees it partially: at most five an hour."""

    __tablename__ = "identifier_lookups"

    id: Mapped[PrimaryKey]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    occurred_at: Mapped[CreatedAt]

    __table_args__ = (Index("ix_identifier_lookups_user_id", "user_id", "occurred_at"),)


class IdempotencyKey(Base):
    """A write that was done under a key. Only the id is kept: a replay is rendered for whoever asks."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[bytes]
    entity_type: Mapped[str]
    entity_id: Mapped[uuid.UUID]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_idempotency_keys_expires_at", "expires_at"),
        CheckConstraint("length(key) BETWEEN 1 AND 200", "key_length"),
    )


class JobRun(Base):
    """One slot of one timed job. The key keeps two schedulers from doing it twice."""

    __tablename__ = "job_runs"

    job: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    started_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    rows: Mapped[int | None]
    counts: Mapped[dict[str, int] | None] = mapped_column(JSONB(none_as_null=True))  # rows by part of the job

    __table_args__ = (Index("ix_job_runs_started_at", text("started_at DESC")),)
