"""A patient's visit: checked in, called, closed."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, PrimaryKey
from models.patient import one_of
from models.record import PRIORITIES

VISIT_STATUSES = ("WAITING", "IN_CARE", "DONE", "LEFT")


class Visit(Base):
    """One stay, from check-in to DONE or LEFT."""

    __tablename__ = "visits"

    id: Mapped[PrimaryKey]
    patient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("patients.id"))
    reason: Mapped[str]
    priority: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="WAITING", default="WAITING")
    doctor_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    checked_in_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))
    arrived_at: Mapped[CreatedAt]
    called_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012
    __table_args__ = (
        # The worklist: most urgent first, then who waits longest.
        Index(
            "ix_visits_worklist",
            text("array_position(ARRAY['CRITICAL','HIGH','NORMAL','LOW'], priority)"),
            "arrived_at",
            "id",
            postgresql_where=text("status IN ('WAITING', 'IN_CARE')"),
        ),
        Index("ix_visits_patient_id", "patient_id", "arrived_at"),
        Index("ix_visits_page", "arrived_at", "id"),
        # A patient can't be in the waiting room twice.
        Index(
            "uq_visits_open",
            "patient_id",
            unique=True,
            postgresql_where=text("status IN ('WAITING', 'IN_CARE')"),
        ),
        CheckConstraint(one_of("status", VISIT_STATUSES), "status_known"),
        CheckConstraint(one_of("priority", PRIORITIES), "priority_known"),
        CheckConstraint("length(reason) BETWEEN 1 AND 200", "reason_length"),
        CheckConstraint("(status IN ('DONE', 'LEFT')) = (closed_at IS NOT NULL)", "closed_has_time"),
        CheckConstraint("status <> 'IN_CARE' OR doctor_id IS NOT NULL", "care_has_doctor"),
    )
