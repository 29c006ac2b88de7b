"""Patients, their allergies, and what a patient's identification was at every version."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey

NAME_MAX = 200
ADDRESS_MAX = 500
SEXES = ("FEMALE", "MALE", "OTHER", "UNKNOWN")
SEVERITIES = ("MILD", "MODERATE", "SEVERE")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """SQL condition that ``column`` is one of ``values`` (constants of ours, never input)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


class Patient(Base):
    """A person who is treated. An unidentified emergency patient needs no name beyond a description."""

    __tablename__ = "patients"

    id: Mapped[PrimaryKey]
    full_name: Mapped[str]
    social_name: Mapped[str | None]  # leads everywhere when given (Decreto 8.727/2016)
    # The name shown first, folded: what lists sort by.
    name_key: Mapped[str] = mapped_column(
        Computed("sigilo_fold(coalesce(social_name, full_name))", persisted=True)
    )
    mother_name: Mapped[str | None]
    birth_date: Mapped[date | None]
    birth_date_estimated: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    sex: Mapped[str]
    # AES-256-GCM with this row's id as associated data; the index is an HMAC, equal for equal numbers.
    cpf_cipher: Mapped[bytes | None]
    cpf_index: Mapped[bytes | None]
    cns_cipher: Mapped[bytes | None]
    cns_index: Mapped[bytes | None]
    passport_cipher: Mapped[bytes | None]
    passport_index: Mapped[bytes | None]
    nationality: Mapped[str | None]
    phone: Mapped[str | None]
    email: Mapped[str | None]
    address: Mapped[str | None]
    deceased_at: Mapped[datetime | None]
    responsible_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    # Key of the digests in this patient's audit events, itself encrypted; destroyed at lawful elimination.
    audit_key_cipher: Mapped[bytes]
    source: Mapped[str | None]
    source_id: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    deleted_at: Mapped[datetime | None]
    deleted_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    deletion_reason: Mapped[str | None]
    search_names: Mapped[str] = mapped_column(
        TSVECTOR,
        Computed(
            "to_tsvector('simple'::regconfig, sigilo_fold(full_name || ' ' || coalesce(social_name, '')))",
            persisted=True,
        ),
        deferred=True,
    )

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012
    __table_args__ = (
        Index("ix_patients_page", "name_key", "id", postgresql_where=text("deleted_at IS NULL")),
        Index("ix_patients_inactive", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        Index("ix_patients_search_names", "search_names", postgresql_using="gin"),
        Index("ix_patients_birth_date", "birth_date"),
        Index("ix_patients_responsible_id", "responsible_id"),
        # Which field keys are in use, without reading every row (services/field_keys.py).
        Index("ix_patients_field_key", text("get_byte(audit_key_cipher, 0)")),
        Index(
            "uq_patients_cpf_index", "cpf_index", unique=True, postgresql_where=text("cpf_index IS NOT NULL")
        ),
        Index(
            "uq_patients_cns_index", "cns_index", unique=True, postgresql_where=text("cns_index IS NOT NULL")
        ),
        Index(
            "ix_patients_passport_index",
            "passport_index",
            postgresql_where=text("passport_index IS NOT NULL"),
        ),
        Index(
            "uq_patients_source",
            "source",
            "source_id",
            unique=True,
            postgresql_where=text("source IS NOT NULL"),
        ),
        CheckConstraint(one_of("sex", SEXES), "sex_known"),
        CheckConstraint(f"length(full_name) BETWEEN 1 AND {NAME_MAX}", "full_name_length"),
        CheckConstraint(f"length(social_name) BETWEEN 1 AND {NAME_MAX}", "social_name_length"),
        CheckConstraint(f"length(mother_name) BETWEEN 1 AND {NAME_MAX}", "mother_name_length"),
        CheckConstraint(f"length(address) BETWEEN 1 AND {ADDRESS_MAX}", "address_length"),
        CheckConstraint("birth_date BETWEEN '1850-01-01' AND '2200-01-01'", "birth_date_plausible"),
        CheckConstraint("(cpf_cipher IS NULL) = (cpf_index IS NULL)", "cpf_pair"),
        CheckConstraint("(cns_cipher IS NULL) = (cns_index IS NULL)", "cns_pair"),
        CheckConstraint("(passport_cipher IS NULL) = (passport_index IS NULL)", "passport_pair"),
        CheckConstraint("(source IS NULL) = (source_id IS NULL)", "source_pair"),
        CheckConstraint("(deleted_at IS NULL) = (deletion_reason IS NULL)", "inactivation_has_reason"),
        CheckConstraint("version >= 1", "version_positive"),
    )


class PatientVersion(Base):
    """A patient's full content at one version; identifiers stay encrypted in it."""

    __tablename__ = "patient_versions"

    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[CreatedAt]
    reason: Mapped[str | None]


class Allergy(Base):
    """Something a patient must not be given."""

    __tablename__ = "allergies"

    id: Mapped[PrimaryKey]
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    substance: Mapped[str]
    reaction: Mapped[str | None]
    severity: Mapped[str | None]
    noted_at: Mapped[datetime | None]
    recorded_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    source: Mapped[str | None]
    source_id: Mapped[str | None]

    __table_args__ = (
        Index("ix_allergies_patient_id", "patient_id", "id"),
        Index(
            "uq_allergies_source",
            "source",
            "source_id",
            unique=True,
            postgresql_where=text("source IS NOT NULL"),
        ),
        CheckConstraint("length(substance) BETWEEN 1 AND 300", "substance_length"),
        CheckConstraint("length(reaction) <= 1000", "reaction_length"),
        CheckConstraint(one_of("severity", SEVERITIES), "severity_known"),
        CheckConstraint("(source IS NULL) = (source_id IS NULL)", "source_pair"),
    )
