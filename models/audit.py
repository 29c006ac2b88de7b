"""The audit trail: the outbox that acts are written to, the sealed trail, and signed checkpoints.

An event carries no clinical text: opaque ids, versions from and to, the names of changed fields and digests
of their values. What the values were is shown by joining the version rows, through the reader's mask.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, Uuid, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey

OUTCOMES = ("success", "refused", "failure")

# A list of objects whose values are strings or null. By a function, since a check is read anew at each insert.
CHANGES_SHAPE = "audit_changes_are_plain(changes)"


class EventColumns:
    """What somebody did: one thing, once. The same columns in the outbox and in the trail."""

    occurred_at: Mapped[datetime]
    action: Mapped[str]  # such as medical_record.read
    outcome: Mapped[str]
    actor_id: Mapped[uuid.UUID | None]  # none before sign-in and for the system itself
    actor_role: Mapped[str | None]
    entity_type: Mapped[str | None]
    entity_id: Mapped[uuid.UUID | None]
    entity_ids: Mapped[list[uuid.UUID] | None] = mapped_column(ARRAY(Uuid()))  # what a list showed
    patient_id: Mapped[uuid.UUID | None]  # whose record it was, where it was one person's
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]
    # [{field, before, after}], digests. Without none_as_null an event that changed nothing would hold JSON's null.
    changes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    basis: Mapped[str | None]  # what opened the door: care team, break-glass, own record, role
    basis_id: Mapped[uuid.UUID | None]  # the break-glass grant or other row that holds the reason
    ip: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]
    session_id: Mapped[uuid.UUID | None]
    token_id: Mapped[uuid.UUID | None]


class AuditOutbox(EventColumns, Base):
    """Events committed with the act they describe, waiting to be sealed. UUIDv7, so oldest first by id."""

    __tablename__ = "audit_outbox"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)

    # What the trail's canonical form can't hold is refused here, with the act, so no event can block the drain.
    __table_args__ = (
        CheckConstraint("outcome IN ('success', 'refused', 'failure')", "outcome_known"),
        CheckConstraint("isfinite(occurred_at)", "occurred_at_finite"),
        CheckConstraint(CHANGES_SHAPE, "changes_shape"),
    )


class AuditLog(EventColumns, Base):
    """A sealed event: numbered without gaps and chained to the one before. Never updated or deleted."""

    __tablename__ = "audit_trail"

    # The key begins with it: numbers are what events are looked for by, and the partition's column has to be in it.
    sequence: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=False)
    sealed_at: Mapped[datetime] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID]
    hash: Mapped[bytes]  # SHA-256 over the previous hash and this event's canonical JSON

    __table_args__ = (
        # Read backwards: in the order that events come in pages fill up, where newest first would split them in halves.
        Index("ix_audit_trail_patient_id", "patient_id", "sequence"),
        Index("ix_audit_trail_actor_id", "actor_id", "sequence"),
        Index("ix_audit_trail_entity_id", "entity_id", "sequence"),
        # New entries wait in a list that every search reads; kept short, for the patient who asks who looked.
        Index(
            "ix_audit_trail_entity_ids", "entity_ids", postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 256},
        ),
        CheckConstraint("octet_length(hash) = 32", "hash_length"),
        {"postgresql_partition_by": "RANGE (sealed_at)"},
    )


class AuditCheckpoint(Base):
    """A signed statement of the trail's head: ``sequence`` events, the newest with the chain hash ``hash``, in a Merkle
    tree with the root ``root``. ``frontier`` is what the tree grows on from (services/merkle.py)."""

    __tablename__ = "audit_checkpoints"

    sequence: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=False)
    hash: Mapped[bytes]
    root: Mapped[bytes | None]
    frontier: Mapped[bytes | None]
    note: Mapped[str]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        CheckConstraint(
            "(root IS NULL) = (frontier IS NULL) AND octet_length(root) = 32 AND octet_length(frontier) % 32 = 0",
            "tree_shape",
        ),
    )


class AuditTreeNode(Base):
    """The root of a perfect subtree of 2^level events, the ``position``-th of its level from 0."""

    __tablename__ = "audit_tree_nodes"

    level: Mapped[int] = mapped_column(SmallInteger(), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=False)
    hash: Mapped[bytes]

    __table_args__ = (CheckConstraint("octet_length(hash) = 32", "hash_length"),)


class AuditArchive(Base):
    """A part of the trail that lies in a file: events ``first`` to ``last``, and what the rest is verified from.

    ``hash_before`` and ``hash`` are the chain hashes before the first and of the last event; ``frontier`` that of the
    Merkle tree over the first ``last`` events, whose root ``note`` signs; ``digest`` the file's SHA-256; ``statement``
    what signs all of it (``services/audit_start.py``).
    """

    __tablename__ = "audit_archives"

    last: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=False)
    first: Mapped[int] = mapped_column(BigInteger())
    hash_before: Mapped[bytes]
    hash: Mapped[bytes]
    frontier: Mapped[bytes]
    note: Mapped[str]
    statement: Mapped[str]
    file: Mapped[str]  # its name in the store
    size: Mapped[int] = mapped_column(BigInteger())  # bytes
    digest: Mapped[bytes]
    sealed_from: Mapped[datetime]
    sealed_to: Mapped[datetime]
    created_at: Mapped[CreatedAt]
    dropped_at: Mapped[datetime | None]  # when the events left the database

    __table_args__ = (
        CheckConstraint("first >= 1 AND first <= last", "range"),
        CheckConstraint(
            "octet_length(hash_before) = 32 AND octet_length(hash) = 32 AND octet_length(digest) = 32"
            " AND octet_length(frontier) % 32 = 0",
            "hash_lengths",
        ),
    )


class AuditPolicy(Base):
    """For how long the trail stays in the database, one row: the migrator writes it (``migrations/prepare.py``)."""

    __tablename__ = "audit_policy"

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    keep_months: Mapped[int]

    __table_args__ = (CheckConstraint("is_only", "one_row"), CheckConstraint("keep_months >= 12", "a_year"))


class AuditCheck(Base):
    """The last check of the trail and what it came to, as a signed ``note`` (``services/audit_check_note.py``)."""

    __tablename__ = "audit_checks"

    ended_at: Mapped[datetime] = mapped_column(primary_key=True)
    note: Mapped[str]


class AuditFinding(Base):
    """Something that the last check of the trail found wrong (``services/audit_report.py``)."""

    __tablename__ = "audit_findings"

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    first: Mapped[int] = mapped_column(BigInteger())
    last: Mapped[int | None] = mapped_column(BigInteger())
    event_id: Mapped[str | None]  # as text: whoever tampers may have written what is no id


class AuditAlarm(Base):
    """The trail was found not intact, in so many ``places`` at most. Open until an auditor has taken note of it,
    whatever later checks find; at most one is open."""

    __tablename__ = "audit_alarms"

    id: Mapped[PrimaryKey]
    found_at: Mapped[CreatedAt]
    last_found_at: Mapped[CreatedAt]
    places: Mapped[int]
    noted_at: Mapped[datetime | None]
    noted_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    note: Mapped[str | None]

    __table_args__ = (
        Index(
            "uq_audit_alarms_open", text("(noted_at IS NULL)"), unique=True, postgresql_where=text("noted_at IS NULL")
        ),
        CheckConstraint("num_nulls(noted_at, noted_by, note) IN (0, 3)", "noted_whole"),
        CheckConstraint("length(note) BETWEEN 1 AND 2000", "note_length"),
        CheckConstraint("places >= 1", "counted"),
    )


class CheckpointSink(Base):
    """A place outside of the database: up to which event it has a checkpoint, and when the next is tried."""

    __tablename__ = "checkpoint_sinks"

    name: Mapped[str] = mapped_column(primary_key=True)  # its URL without what is secret in it
    sequence: Mapped[int | None] = mapped_column(BigInteger())
    delivered_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))  # since the last that succeeded
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    failure: Mapped[str | None]

    __table_args__ = (CheckConstraint("(sequence IS NULL) = (delivered_at IS NULL)", "delivered"),)
