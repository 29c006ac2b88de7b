"""Who treats a patient, and who looked without treating (break-glass)."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of

ORIGINS = ("RESPONSIBLE", "ADDED", "VISIT")
VERDICTS = ("JUSTIFIED", "NOT_JUSTIFIED", "FOLLOW_UP")


class CareTeamMember(Base):
    """One person's membership of one patient's care team, from its beginning to its end."""

    __tablename__ = "care_team_members"

    id: Mapped[PrimaryKey]
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    origin: Mapped[str]
    visit_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("visits.id"))
    added_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    added_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]  # 24 h after the visit closes; none while it lasts
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))

    __table_args__ = (
        # One membership a person and patient; with the look-up "is this reader on the team" in one index.
        Index(
            "uq_care_team_members_current",
            "patient_id",
            "user_id",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index("ix_care_team_members_user_id", "user_id", postgresql_where=text("removed_at IS NULL")),
        CheckConstraint(one_of("origin", ORIGINS), "origin_known"),
    )


class BreakGlassGrant(Base):
    """Thirty minutes of reading one patient from outside the care team, fewer when ended early, and its review.
    The reason is clinical text."""

    __tablename__ = "break_glass_grants"

    id: Mapped[PrimaryKey]
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    acting_role: Mapped[str] = mapped_column(ForeignKey("roles.name"))
    reason: Mapped[str]
    granted_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    reviewed_at: Mapped[datetime | None]
    reviewed_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    verdict: Mapped[str | None]
    review_note: Mapped[str | None]  # clinical text too, as the reason is

    __table_args__ = (
        Index("ix_break_glass_grants_active", "patient_id", "user_id", "expires_at"),
        Index("ix_break_glass_grants_unreviewed", "granted_at", postgresql_where=text("reviewed_at IS NULL")),
        CheckConstraint("length(reason) BETWEEN 10 AND 1000", "reason_length"),
        CheckConstraint("expires_at > granted_at", "expires_after_grant"),
        CheckConstraint(one_of("verdict", VERDICTS), "verdict_known"),
        CheckConstraint("num_nulls(reviewed_at, reviewed_by, verdict) IN (0, 3)", "reviewed_whole"),
        CheckConstraint("reviewed_by <> user_id", "reviewed_by_another"),
        CheckConstraint("length(review_note) <= 2000", "review_note_length"),
    )


class Notification(Base):
    """Something a user must be told, such as that the glass was broken on their patient."""

    __tablename__ = "notifications"

    id: Mapped[PrimaryKey]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str]
    patient_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("patients.id"))
    subject_id: Mapped[uuid.UUID | None]  # the grant, visit or job it is about
    created_at: Mapped[CreatedAt]
    read_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_notifications_unread", "user_id", "id", postgresql_where=text("read_at IS NULL")),
    )
