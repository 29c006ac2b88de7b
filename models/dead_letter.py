"""Background work that failed for good."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey


class DeadLetter(Base):
    """One piece of work that no attempt is left for. One row for each, however often it fails, until somebody dismisses
    it: the work succeeding later resolves the row, and failing anew opens it again."""

    __tablename__ = "dead_letters"

    id: Mapped[PrimaryKey]
    task: Mapped[str]
    queue: Mapped[str]
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB())  # ids by name; null in place of anything else
    slot: Mapped[datetime | None]  # of a timed job: the newest that failed
    error: Mapped[str]  # the exception's class; its text may quote a row
    task_id: Mapped[str]  # Celery's, as the log has it
    attempts: Mapped[int]  # since it last succeeded
    first_failed_at: Mapped[CreatedAt]
    failed_at: Mapped[CreatedAt]
    retried_at: Mapped[datetime | None]
    retried_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    resolved_at: Mapped[datetime | None]  # it succeeded, or was dismissed
    dismissed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    dismissal_reason: Mapped[str | None]

    __table_args__ = (
        Index(
            "uq_dead_letters_work", "task", "arguments", unique=True, postgresql_where=text("dismissed_by IS NULL")
        ),
        CheckConstraint("error ~ '^[A-Za-z_][A-Za-z0-9_]*$'", "error_is_a_name"),
        CheckConstraint(
            "jsonb_typeof(arguments) = 'object' AND octet_length(arguments::text) <= 2000", "arguments_shape"
        ),
        CheckConstraint("(retried_at IS NULL) = (retried_by IS NULL)", "retried"),
        CheckConstraint(
            "(dismissed_by IS NULL) = (dismissal_reason IS NULL)"
            " AND (dismissed_by IS NULL OR resolved_at IS NOT NULL)",
            "dismissed",
        ),
    )
