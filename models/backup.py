"""Backups, the drills that prove them, and the keys that drills open them with."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

BACKUP_STATES = ("PENDING", "RUNNING", "DONE", "VERIFIED", "FAILED")
BACKUP_ORIGINS = ("SCHEDULED", "REQUESTED", "COMMAND", "AGAIN", "FOUND")
DRILL_STATES = ("RUNNING", "PASSED", "FAILED")


class Backup(Base):
    """One backup. DONE: all of it is stored, and nobody has shown yet that it can be restored; VERIFIED: its last drill
    did. Only a VERIFIED one that was not pruned counts."""

    __tablename__ = "backups"

    id: Mapped[PrimaryKey]
    state: Mapped[str] = mapped_column(server_default="PENDING")
    # AGAIN: in place of one that failed; FOUND: known from the store alone, after a restore.
    origin: Mapped[str]
    requested_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    stage: Mapped[str | None]  # dump, files, keys, manifest
    done: Mapped[int] = mapped_column(BigInteger(), server_default=text("0"))  # bytes dumped so far
    total: Mapped[int | None] = mapped_column(BigInteger())  # about as many bytes as there will be
    store: Mapped[str | None]  # URL of the folder or bucket
    name: Mapped[str | None]  # what the names of its parts begin with
    size: Mapped[int | None] = mapped_column(BigInteger())  # bytes stored, all parts
    manifest: Mapped[str | None]  # the signed note
    failure: Mapped[str | None]  # a sentence of ours: what failed and what to do
    verified_at: Mapped[datetime | None]
    pruned_at: Mapped[datetime | None]  # its parts are gone, as retention has it
    locked_until: Mapped[datetime | None]  # until when its store deletes no part

    __table_args__ = (
        # One waits, one runs.
        Index("uq_backups_at_work", "state", unique=True, postgresql_where=text("state IN ('PENDING', 'RUNNING')")),
        Index("ix_backups_finished_at", "finished_at"),
        CheckConstraint(one_of("state", BACKUP_STATES), "state_known"),
        CheckConstraint(one_of("origin", BACKUP_ORIGINS), "origin_known"),
        CheckConstraint(
            "(state IN ('DONE', 'VERIFIED')) = (manifest IS NOT NULL)"
            " AND (manifest IS NULL OR (name IS NOT NULL AND store IS NOT NULL AND size IS NOT NULL))",
            "stored",
        ),
        CheckConstraint("(state = 'FAILED') = (failure IS NOT NULL)", "failed"),
        CheckConstraint("(state IN ('PENDING', 'RUNNING')) = (finished_at IS NULL)", "finished"),
        CheckConstraint("state <> 'VERIFIED' OR verified_at IS NOT NULL", "verified"),
    )


class BackupDrill(Base):
    """One restore of one backup into a database that was dropped again. ``restore_seconds``: from nothing to a database
    that was checked, the RTO that was measured; of it ``fetch_seconds`` to read every part from the store, and
    ``check_seconds``; the rest to load it; ``checks``: what was looked at, name → count. ``is_damaged``: what lies in
    the store is not what was backed up; any other failure says nothing about the backup, which is drilled again.
    ``trail_problems``: places where the audit trail is not intact, in the backup as in the database itself: the backup
    is good, and the trail is not."""

    __tablename__ = "backup_drills"

    id: Mapped[PrimaryKey]
    backup_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("backups.id"))
    state: Mapped[str] = mapped_column(server_default="RUNNING")
    started_at: Mapped[CreatedAt]
    heartbeat_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]
    stage: Mapped[str | None]  # fetch, restore, checks
    done: Mapped[int] = mapped_column(BigInteger(), server_default=text("0"))  # bytes restored so far
    total: Mapped[int | None] = mapped_column(BigInteger())
    restore_seconds: Mapped[float | None]
    fetch_seconds: Mapped[float | None]
    check_seconds: Mapped[float | None]
    checks: Mapped[dict[str, Any]] = mapped_column(JSONB(), server_default=text("'{}'"))
    failure: Mapped[str | None]
    is_damaged: Mapped[bool] = mapped_column(server_default=text("false"))
    trail_problems: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        Index("ix_backup_drills_backup_id", "backup_id", "started_at"),
        CheckConstraint(one_of("state", DRILL_STATES), "state_known"),
        CheckConstraint("(state = 'RUNNING') = (finished_at IS NULL)", "finished"),
        CheckConstraint("(state = 'FAILED') = (failure IS NOT NULL)", "failed"),
    )


class BackupKey(Base):
    """The public half of a drill key. Its private half lies with the drills' worker until ``destroyed_at``."""

    __tablename__ = "backup_keys"

    recipient: Mapped[str] = mapped_column(primary_key=True)  # age1…
    holder: Mapped[str]  # who has the private half: the drills' worker
    machine: Mapped[str]  # where it was made
    created_at: Mapped[CreatedAt]
    retired_at: Mapped[datetime | None]  # no newer backup is encrypted to it
    destroyed_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_backup_keys_current", "holder", unique=True, postgresql_where=text("retired_at IS NULL")),
        CheckConstraint("destroyed_at IS NULL OR retired_at IS NOT NULL", "retired_first"),
    )


class ArchiveStanding(Base):
    """What PostgreSQL's own archive of changes holds, as the database's machine said last (``deploy/postgres``): one
    row, none where nobody says it. ``full_at``, ``differential_at``: when the newest full base backup ended, and the
    newest of either kind; ``missing``: files of WAL since the newest that the archive does not have."""

    __tablename__ = "archive_standing"

    id: Mapped[int] = mapped_column(SmallInteger(), primary_key=True, autoincrement=False)
    noted_at: Mapped[datetime]
    full_at: Mapped[datetime | None]
    differential_at: Mapped[datetime | None]
    missing: Mapped[int] = mapped_column(BigInteger())

    __table_args__ = (CheckConstraint("id = 1", "one_row"),)


class BackupMail(Base):
    """Of which troubles of backups one administrator was told by mail since all was well, and when the next mail may
    leave."""

    __tablename__ = "backup_mails"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    told: Mapped[list[str]] = mapped_column(ARRAY(Text()), server_default=text("'{}'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))  # since the last that left
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    sent_at: Mapped[datetime | None]
    failure: Mapped[str | None]
