"""A visit's states, and how a visit is shown."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from models import MedicalRecord, Patient, Visit
from models.user import Role
from services.access import patient_standing
from services.actor import Actor
from services.author import authors_of
from services.masking import apply, mask_for
from services.masking_sql import inside_rowwise, sql_mask
from services.record_fields import sql_time, time_text

OPEN = ("WAITING", "IN_CARE")
CLOSED = ("DONE", "LEFT")


def show_visit(session: Session, actor: Actor, visit: Visit, patient: Patient) -> dict[str, Any]:
    """The visit as the API shows it to this actor; the care team matters once a restricted record came of it."""
    restricted = bool(
        session.scalar(select(exists().where(MedicalRecord.visit_id == visit.id, MedicalRecord.restricted)))
    )
    mask = mask_for("visit", patient_standing(session, actor, patient).relation, restricted=restricted)
    people = authors_of(session, [visit.doctor_id])
    doctor = people.get(visit.doctor_id) if visit.doctor_id else None
    values = {
        "id": str(visit.id),
        "patientId": str(visit.patient_id),
        "patientName": patient.social_name or patient.full_name,
        "reason": visit.reason,
        "priority": visit.priority,
        "status": visit.status,
        "doctorId": None if doctor is None else str(doctor.id),
        "doctorName": None if doctor is None else doctor.name,
        "arrivedAt": time_text(visit.arrived_at),
        "calledAt": time_text(visit.called_at),
        "closedAt": time_text(visit.closed_at),
        "version": visit.version,
        "privacy": mask.privacy(),
    }
    return apply(mask, values)


def standing_columns(role: Role) -> str:
    """SQL over ``v`` (a visit): what ``representation`` needs to know beside its row, ``inside`` and ``restricted``."""
    inside = inside_rowwise("v.patient_id", None) if role.is_clinical else "FALSE"
    restricted = "EXISTS (SELECT FROM medical_records r WHERE r.visit_id = v.id AND r.restricted)"
    return f"{inside} AS inside, {restricted} AS restricted"


@lru_cache(maxsize=8)
def representation(role: Role) -> str:
    """SQL json over ``s`` (a visit with ``standing_columns``): the same, for lists that PostgreSQL builds."""
    mask = sql_mask("visit", role)
    name = "(SELECT coalesce(p.social_name, p.full_name) FROM patients p WHERE p.id = s.patient_id)"
    columns = {
        "id": "s.id",
        "patientId": "s.patient_id",
        "patientName": name,
        "reason": mask.field("reason", "s.reason"),
        "priority": mask.field("priority", "s.priority"),
        "status": mask.field("status", "s.status"),
        "doctorId": "s.doctor_id",
        "doctorName": "(SELECT u.full_name FROM users u WHERE u.id = s.doctor_id)",
        "arrivedAt": sql_time("s.arrived_at"),
        "calledAt": sql_time("s.called_at"),
        "closedAt": sql_time("s.closed_at"),
        "version": "s.version",
        "privacy": mask.privacy(),
    }
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    return f"(SELECT row_to_json(v) FROM (SELECT {selected}) v)"
