"""Imports: the job, the files it reads, and what it refused."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

# Bytes of an uploaded file that are one row: large enough to be few, small enough to be deleted a few at a time.
PART_BYTES = 256 * 1024
PARTS_AT_ONCE = 8
JOB_STATES = ("QUEUED", "RUNNING", "DONE", "FAILED", "CANCELLED")


class ImportJob(Base):
    """One import. ``position`` moves forward in the transaction of each batch, so a kill loses no place."""

    __tablename__ = "import_jobs"

    id: Mapped[PrimaryKey]
    state: Mapped[str] = mapped_column(server_default="QUEUED", default="QUEUED")
    format: Mapped[str]  # auto | fhir | synthea-csv | csv
    source_digest: Mapped[bytes]  # SHA-256 over the files: finds the job to resume
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"), default=dict)
    position: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"), default=dict)
    total: Mapped[int | None]  # entries to read, once known
    read: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    created: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    updated: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    unchanged: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    rejected: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    counts: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'"), default=dict
    )  # by type
    error: Mapped[str | None]
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_import_jobs_queue", "created_at", postgresql_where=text("state IN ('QUEUED', 'RUNNING')")),
        Index("ix_import_jobs_source_digest", "source_digest"),
        CheckConstraint(one_of("state", JOB_STATES), "state_known"),
    )


class ImportFile(Base):
    """A file of an import that came over HTTP. Its name is kept for people; nothing is stored under it."""

    __tablename__ = "import_files"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("import_jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[bytes]
    size: Mapped[int]


class ImportFilePart(Base):
    """Bytes of such a file, in the order of ``part``. One that no file is left of goes with the next clean-up, so it
    refers to the job and not to the file."""

    __tablename__ = "import_file_parts"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("import_jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(deferred=True)

    __table_args__ = (CheckConstraint(f"octet_length(content) <= {PART_BYTES}", "bounded"),)


class ImportReject(Base):
    """One entry that was refused, where it stood and why. Never its content."""

    __tablename__ = "import_rejects"

    id: Mapped[PrimaryKey]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("import_jobs.id"))
    file: Mapped[str]
    line: Mapped[int]
    pointer: Mapped[str]  # JSON pointer or column
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]

    __table_args__ = (Index("ix_import_rejects_job_id", "job_id", "id"),)
