"""Users, the roles they hold, and what both looked like at every version."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, CreatedAt, PrimaryKey

# The author of imported records. It has no password, can't sign in, and is made by the first migration.
IMPORT_USER_ID = uuid.UUID("01900000-0000-7000-8000-000000000001")
IMPORT_USER_EMAIL = "import@sigilo.invalid"


class Role(StrEnum):
    """What a person acts as; exactly one at a time, chosen at sign-in or fixed in a token."""

    DOCTOR = "DOCTOR"
    NURSE = "NURSE"
    RECEPTION = "RECEPTION"
    ADMIN = "ADMIN"
    AUDITOR = "AUDITOR"
    PATIENT = "PATIENT"

    @property
    def is_clinical(self) -> bool:
        """Whether this role treats patients and so can belong to a care team."""
        return self in (Role.DOCTOR, Role.NURSE)

    @property
    def needs_approval(self) -> bool:
        """Whether a second administrator must approve it (SBIS NGS1.03). ADMIN too: whoever makes administrators
        alone also makes their own second approver."""
        return self.is_clinical or self is Role.ADMIN


class User(Base):
    """A person who can sign in. Never deleted once active (SBIS NGS1.03): disabled instead."""

    __tablename__ = "users"

    id: Mapped[PrimaryKey]
    email: Mapped[str]
    full_name: Mapped[str]
    council: Mapped[str | None]  # CRM-UF or COREN-UF number, printed beside what this person writes
    cpf_index: Mapped[bytes | None]  # keyed blind index: one account per CPF
    # The same number sealed, so that its index can be made anew when keys change. No web role may select it.
    cpf_cipher: Mapped[bytes | None] = mapped_column(deferred=True)
    # argon2id; none for accounts that cannot sign in. Only the anonymous role may select it.
    password_hash: Mapped[str | None] = mapped_column(deferred=True)
    previous_password_hash: Mapped[str | None] = mapped_column(deferred=True)  # not to be chosen again
    password_changed_at: Mapped[datetime | None]
    must_change_password: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    patient_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("patients.id", use_alter=True))
    quota: Mapped[str | None]  # such as 60/minute; none means RATE_LIMIT_DEFAULT
    locale: Mapped[str] = mapped_column(server_default="pt_BR", default="pt_BR")
    disabled_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    roles: Mapped[list[UserRole]] = relationship(
        back_populates="user", cascade="all, delete-orphan", foreign_keys="UserRole.user_id", lazy="selectin"
    )

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012
    __table_args__ = (
        Index("uq_users_email", text("lower(email)"), unique=True),
        Index("uq_users_cpf_index", "cpf_index", unique=True, postgresql_where=text("cpf_index IS NOT NULL")),
        Index(
            "uq_users_patient_id", "patient_id", unique=True, postgresql_where=text("patient_id IS NOT NULL")
        ),
        CheckConstraint(
            "email = lower(email) AND email LIKE '%_@_%' AND length(email) <= 254", "email_shape"
        ),
        CheckConstraint("length(full_name) BETWEEN 1 AND 200", "full_name_length"),
        CheckConstraint(
            "quota IS NULL OR quota ~ '^[1-9][0-9]{0,8}/(second|minute|hour|day)$'", "quota_shape"
        ),
        CheckConstraint("version >= 1", "version_positive"),
    )


class RoleDefinition(Base):
    """A role that exists, as a row, so that the database refuses any other."""

    __tablename__ = "roles"

    name: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]


class UserRole(Base):
    """One role held by one user."""

    __tablename__ = "user_roles"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str] = mapped_column(ForeignKey("roles.name"), primary_key=True)
    granted_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    granted_at: Mapped[CreatedAt]

    user: Mapped[User] = relationship(back_populates="roles", foreign_keys=[user_id])

    __table_args__ = (CheckConstraint("granted_by <> user_id", "not_by_oneself"),)


class UserVersion(Base):
    """A user's content at one version (no password hash: that is no content)."""

    __tablename__ = "user_versions"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[CreatedAt]
    reason: Mapped[str | None]


class RoleVersion(Base):
    """The set of roles a user held from one moment on."""

    __tablename__ = "role_versions"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    changed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[CreatedAt]
    reason: Mapped[str | None]
