"""How people get in: single-use links to choose a password, and roles that a second administrator must approve."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

LINK_KINDS = ("invitation", "reset")
FAILURES = ("refused", "unreachable")
WAITING = "sent_at IS NULL AND withdrawn_at IS NULL AND failed_at IS NULL"


class PasswordLink(Base):
    """A mail to be sent, and then the link in it. The worker makes the secret as it sends the mail, so whoever
    asked for it never holds it; only its SHA-256 is kept."""

    __tablename__ = "password_links"

    id: Mapped[PrimaryKey]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str]
    requested_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    requested_at: Mapped[CreatedAt]
    # Only the worker writes it, only the anonymous role looks for it; staff may not select it.
    secret_hash: Mapped[bytes | None] = mapped_column(unique=True, deferred=True)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]  # another link took its place, or the user was disabled
    failed_at: Mapped[datetime | None]  # given up: the address is refused, or no server answered for a day
    failure: Mapped[str | None]

    __table_args__ = (
        Index("ix_password_links_user_id", "user_id", "id"),
        Index("ix_password_links_waiting", "next_attempt_at", postgresql_where=text(WAITING)),
        CheckConstraint(one_of("kind", LINK_KINDS), "kind_known"),
        CheckConstraint("octet_length(secret_hash) = 32", "secret_hash_length"),
        CheckConstraint("(secret_hash IS NULL) = (expires_at IS NULL)", "secret_expires"),
        CheckConstraint(f"failure IS NULL OR {one_of('failure', FAILURES)}", "failure_known"),
    )


class RoleRequest(Base):
    """A role that one administrator asked for, and another approved or declined."""

    __tablename__ = "role_requests"

    id: Mapped[PrimaryKey]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    role: Mapped[str] = mapped_column(ForeignKey("roles.name"))
    reason: Mapped[str]
    requested_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    requested_at: Mapped[CreatedAt]
    decided_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    decision_reason: Mapped[str | None]

    __table_args__ = (
        Index(
            "uq_role_requests_open", "user_id", "role", unique=True, postgresql_where=text("decided_at IS NULL")
        ),
        CheckConstraint(f"outcome IS NULL OR {one_of('outcome', ('approved', 'declined'))}", "outcome_known"),
        CheckConstraint(
            "(outcome IS NULL) = (decided_at IS NULL) AND (outcome IS NULL) = (decided_by IS NULL)", "decided_whole"
        ),
        CheckConstraint("requested_by <> user_id", "not_for_oneself"),
        CheckConstraint(
            "outcome IS DISTINCT FROM 'approved' OR decided_by NOT IN (requested_by, user_id)", "two_people"
        ),
        CheckConstraint("length(reason) BETWEEN 1 AND 1000", "reason_length"),
    )
