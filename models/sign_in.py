"""Server-side sessions, API tokens, and counted login failures."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey


class Session(Base):
    """One browser's sign-in. The cookie carries 256 random bits; only their SHA-256 is kept."""

    __tablename__ = "sessions"

    id: Mapped[PrimaryKey]
    secret_hash: Mapped[bytes] = mapped_column(unique=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    acting_role: Mapped[str] = mapped_column(ForeignKey("roles.name"))
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]  # absolute, 12 h after sign-in
    stepped_up_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_because: Mapped[str | None]
    ip: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None]

    __table_args__ = (
        Index("ix_sessions_user_live", "user_id", postgresql_where=text("ended_at IS NULL")),
        Index("ix_sessions_expires_at", "expires_at"),
        CheckConstraint("octet_length(secret_hash) = 32", "secret_hash_length"),
    )


class ApiToken(Base):
    """A bearer token of an integrator: 256 random bits shown once, SHA-256 kept, scoped, expiring."""

    __tablename__ = "api_tokens"

    id: Mapped[PrimaryKey]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(unique=True)
    acting_role: Mapped[str] = mapped_column(ForeignKey("roles.name"))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    quota: Mapped[str | None]
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_api_tokens_user_id", "user_id"),
        CheckConstraint("octet_length(secret_hash) = 32", "secret_hash_length"),
        CheckConstraint(
            "quota IS NULL OR quota ~ '^[1-9][0-9]{0,8}/(second|minute|hour|day)$'", "quota_shape"
        ),
    )


class LoginFailure(Base):
    """Failed sign-ins of one account or one address. Kept here, so flushing Redis forgets nothing."""

    __tablename__ = "login_failures"

    kind: Mapped[str] = mapped_column(primary_key=True)  # account | ip
    key: Mapped[str] = mapped_column(primary_key=True)  # HMAC of the e-mail, or the address
    failures: Mapped[int]
    window_started_at: Mapped[datetime]
    locked_until: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("kind IN ('account', 'ip')", "kind_known"),)
