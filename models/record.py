"""Medical records, their versions, and drafts of both."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, Computed, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

PRIORITIES = ("CRITICAL", "HIGH", "NORMAL", "LOW")
KINDS = ("CONSULTATION", "RETURN", "EXAM", "PROCEDURE", "TRIAGE", "EMERGENCY", "ADDENDUM", "OTHER")
TITLE_MAX = 200
CLINICAL_TEXT_MAX = 20_000  # characters; keeps the search vector below PostgreSQL's 1 MiB
CID10_MAX = 20

# Accents are folded on the way in and in the query alike, and titles weigh more than notes.
SEARCH_ALL = """
setweight(to_tsvector('portuguese'::regconfig, sigilo_fold(title)), 'A') ||
setweight(to_tsvector('portuguese'::regconfig, sigilo_fold(coalesce(diagnosis, ''))), 'B') ||
setweight(to_tsvector('simple'::regconfig, sigilo_fold(sigilo_words(cid10_codes))), 'B') ||
setweight(to_tsvector('portuguese'::regconfig, sigilo_fold(coalesce(treatment, ''))), 'C') ||
setweight(to_tsvector('portuguese'::regconfig, sigilo_fold(coalesce(notes, ''))), 'D')
"""
SEARCH_TITLE = "setweight(to_tsvector('portuguese'::regconfig, sigilo_fold(title)), 'A')"


class MedicalRecord(Base):
    """One clinical entry. Open until ``closes_at``; from then on corrected only by its author."""

    __tablename__ = "medical_records"

    id: Mapped[PrimaryKey]
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    visit_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("visits.id"))
    amends_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("medical_records.id"))
    kind: Mapped[str]
    title: Mapped[str]
    diagnosis: Mapped[str | None]
    treatment: Mapped[str | None]
    notes: Mapped[str | None]
    cid10_codes: Mapped[list[str]] = mapped_column(ARRAY(Text()), server_default=text("'{}'"), default=list)
    priority: Mapped[str] = mapped_column(server_default="NORMAL", default="NORMAL")
    restricted: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    occurred_at: Mapped[datetime]
    closes_at: Mapped[datetime]
    source: Mapped[str | None]
    source_id: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    deleted_at: Mapped[datetime | None]
    deleted_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    deletion_reason: Mapped[str | None]
    search_all: Mapped[str] = mapped_column(TSVECTOR, Computed(SEARCH_ALL, persisted=True), deferred=True)
    # What a reader who sees nothing but titles may search in; a hit must not betray a masked field.
    search_title: Mapped[str] = mapped_column(TSVECTOR, Computed(SEARCH_TITLE, persisted=True), deferred=True)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012
    __table_args__ = (
        Index(
            "ix_medical_records_page",
            text("occurred_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "ix_medical_records_patient_page",
            "patient_id",
            text("occurred_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "ix_medical_records_priority_page",
            "priority",
            text("occurred_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("ix_medical_records_all_page", text("occurred_at DESC"), text("id DESC")),
        Index("ix_medical_records_inactive", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        Index("ix_medical_records_author_id", "author_id", text("occurred_at DESC")),
        Index("ix_medical_records_visit_id", "visit_id", postgresql_where=text("visit_id IS NOT NULL")),
        Index("ix_medical_records_amends_id", "amends_id", postgresql_where=text("amends_id IS NOT NULL")),
        Index("ix_medical_records_updated_at", "updated_at"),
        Index("ix_medical_records_search_all", "search_all", postgresql_using="gin"),
        Index("ix_medical_records_search_title", "search_title", postgresql_using="gin"),
        Index(
            "uq_medical_records_source",
            "source",
            "source_id",
            unique=True,
            postgresql_where=text("source IS NOT NULL"),
        ),
        CheckConstraint(one_of("priority", PRIORITIES), "priority_known"),
        CheckConstraint(one_of("kind", KINDS), "kind_known"),
        CheckConstraint("(kind = 'ADDENDUM') = (amends_id IS NOT NULL)", "addendum_amends"),
        CheckConstraint(f"length(title) BETWEEN 1 AND {TITLE_MAX}", "title_length"),
        CheckConstraint(f"length(diagnosis) <= {CLINICAL_TEXT_MAX}", "diagnosis_length"),
        CheckConstraint(f"length(treatment) <= {CLINICAL_TEXT_MAX}", "treatment_length"),
        CheckConstraint(f"length(notes) <= {CLINICAL_TEXT_MAX}", "notes_length"),
        CheckConstraint(f"cardinality(cid10_codes) <= {CID10_MAX}", "cid10_count"),
        CheckConstraint("(source IS NULL) = (source_id IS NULL)", "source_pair"),
        CheckConstraint("(deleted_at IS NULL) = (deletion_reason IS NULL)", "inactivation_has_reason"),
        CheckConstraint("version >= 1", "version_positive"),
    )


class RecordVersion(Base):
    """A record's full content at one version, and why and by whom it came about."""

    __tablename__ = "record_versions"

    record_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("medical_records.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    changed_at: Mapped[CreatedAt]
    reason: Mapped[str | None]

    __table_args__ = (Index("ix_record_versions_patient_id", "patient_id"),)


class Draft(Base):
    """Text of one form not saved yet, kept on the server so that a lost session or a crash loses nothing.

    ``content``: ``values`` are the fields as typed, of an edit only those that were changed; ``own`` the words in
    them that the writer added to what the record said; ``form`` names the open form that wrote last.
    """

    __tablename__ = "drafts"

    id: Mapped[PrimaryKey]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    patient_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("patients.id"))
    record_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("medical_records.id"))
    base_version: Mapped[int | None]
    visit_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("visits.id"))
    amends_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("medical_records.id"))
    revision: Mapped[int] = mapped_column(server_default=text("1"), default=1)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_drafts_user_id", "user_id", text("updated_at DESC")),
        Index("ix_drafts_expires_at", "expires_at"),
    )
