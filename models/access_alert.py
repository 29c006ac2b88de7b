"""Unusual accesses found in the trail: what was found of whom, its review, and who was told by mail."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

ALERT_VERDICTS = ("JUSTIFIED", "NOT_JUSTIFIED", "FALSE_ALARM")


class AccessAlert(Base):
    """One rule that one person reached, from ``started_at`` on. Patients are opaque ids, without a foreign key: the
    trail they come from outlives their rows."""

    __tablename__ = "access_alerts"

    id: Mapped[PrimaryKey]
    # In the order they became visible; one that has doubled since gets another, and is the newest again.
    number: Mapped[int] = mapped_column(BigInteger(), Identity(always=True))
    rule: Mapped[str]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    acting_role: Mapped[str]
    subject_id: Mapped[uuid.UUID]  # the one patient it is about, or the person where the rule counts over patients
    started_at: Mapped[datetime]  # when the first of its events happened
    ends_at: Mapped[datetime]  # what happens until then belongs to it, while nobody has reviewed it
    last_at: Mapped[datetime]
    first_sequence: Mapped[int] = mapped_column(BigInteger())
    last_sequence: Mapped[int] = mapped_column(BigInteger())
    count: Mapped[int]
    told_count: Mapped[int]  # what ``count`` was when ``number`` was given
    threshold: Mapped[int]  # as it was then, and so the window
    window_minutes: Mapped[int | None]  # none: the night
    patient_ids: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Uuid()))  # the first hundred
    created_at: Mapped[CreatedAt]
    reviewed_at: Mapped[datetime | None]
    reviewed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    verdict: Mapped[str | None]
    review_note: Mapped[str | None]

    __table_args__ = (
        Index("uq_access_alerts_number", "number", unique=True),
        # One alert a rule, person, subject and beginning, whoever finds it and how often.
        Index("uq_access_alerts_found", "rule", "user_id", "subject_id", "started_at", unique=True),
        Index("ix_access_alerts_open", "number", postgresql_where=text("reviewed_at IS NULL")),
        CheckConstraint(one_of("verdict", ALERT_VERDICTS), "verdict_known"),
        CheckConstraint("num_nulls(reviewed_at, reviewed_by, verdict) IN (0, 3)", "reviewed_whole"),
        CheckConstraint("reviewed_by <> user_id", "reviewed_by_another"),
        CheckConstraint("length(review_note) <= 2000", "review_note_length"),
        CheckConstraint("ends_at >= started_at AND last_at >= started_at", "in_order"),
        CheckConstraint("count >= 1 AND cardinality(patient_ids) <= 100", "counted"),
    )


class AccessWatch(Base):
    """Up to which event the trail was looked through for unusual accesses: one row."""

    __tablename__ = "access_watch"

    id: Mapped[int] = mapped_column(SmallInteger(), primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger())

    __table_args__ = (CheckConstraint("id = 1", "one_row"),)


class AccessWatchBehind(Base):
    """A rule that failed, and up to which event it has looked; what is newer than that the others have looked through
    without it. None of the table: every rule is as far as the one mark says."""

    __tablename__ = "access_watch_behind"

    rule: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger())
    failures: Mapped[int] = mapped_column(server_default=text("1"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("now() + interval '30 seconds'"))
    since: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (CheckConstraint("failures >= 1", "failed"),)


class AccessAlertDigest(Base):
    """Up to which alert one auditor was told by mail, and when the next mail may leave."""

    __tablename__ = "access_alert_digests"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    told_number: Mapped[int] = mapped_column(BigInteger(), server_default=text("0"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))  # since the last that left
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    sent_at: Mapped[datetime | None]
    failure: Mapped[str | None]
