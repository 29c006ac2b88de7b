"""A visit's states, and how a visit is shown."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from models import Allergy, MedicalRecord, Patient, Visit
from models.user import Role
from services.access import CURRENT_MEMBER, patient_standing
from services.actor import Actor
from services.author import authors_of
from services.masking import apply, mask_for
from services.masking_sql import inside_rowwise, sql_mask
from services.record_fields import sql_time, time_text

OPEN = ("WAITING", "IN_CARE")
CLOSED = ("DONE", "LEFT")

# What came of a visit, over ``v``: the note of its triage, and the record that its doctor opened by calling.
TRIAGED_AT = """
    (SELECT min(r.occurred_at) FROM medical_records r
    WHERE r.visit_id = v.id AND r.kind = 'TRIAGE' AND r.deleted_at IS NULL)
"""
RECORD_ID = """
    (SELECT r.id FROM medical_records r
    WHERE r.visit_id = v.id AND r.author_id = v.doctor_id AND r.kind NOT IN ('TRIAGE', 'ADDENDUM')
        AND r.deleted_at IS NULL
    ORDER BY r.id LIMIT 1)
"""


def show_visit(session: Session, actor: Actor, visit: Visit, patient: Patient) -> dict[str, Any]:
    """The visit as the API shows it to this actor; the care team matters once a restricted record came of it, and to
    reception whether it is past."""
    standing = patient_standing(session, actor, patient)
    found = session.execute(
        select(
            exists().where(MedicalRecord.visit_id == visit.id, MedicalRecord.restricted).label("restricted"),
            exists().where(Allergy.patient_id == patient.id).label("has_allergies"),
            select(func.min(MedicalRecord.occurred_at))
            .where(*_of(visit), MedicalRecord.kind == "TRIAGE")
            .scalar_subquery()
            .label("triaged_at"),
            select(MedicalRecord.id)
            .where(
                *_of(visit),
                MedicalRecord.author_id == visit.doctor_id,
                MedicalRecord.kind.not_in(("TRIAGE", "ADDENDUM")),
            )
            .order_by(MedicalRecord.id)
            .limit(1)
            .scalar_subquery()
            .label("record_id"),
        )
    ).one()
    mask = mask_for("visit", standing.relation, restricted=found.restricted, past=visit.status in CLOSED)
    people = authors_of(session, [visit.doctor_id])
    doctor = people.get(visit.doctor_id) if visit.doctor_id else None
    values = {
        "id": str(visit.id),
        "patientId": str(visit.patient_id),
        "patientName": patient.social_name or patient.full_name,
        "patientBirthDate": None if patient.birth_date is None else patient.birth_date.isoformat(),
        "patientSex": patient.sex,
        "hasAllergies": found.has_allergies,
        "inCareTeam": standing.in_team,
        "reason": visit.reason,
        "priority": visit.priority,
        "status": visit.status,
        "doctorId": None if doctor is None else str(doctor.id),
        "doctorName": None if doctor is None else doctor.name,
        "arrivedAt": time_text(visit.arrived_at),
        "calledAt": time_text(visit.called_at),
        "closedAt": time_text(visit.closed_at),
        "triagedAt": time_text(found.triaged_at),
        "recordId": None if found.record_id is None else str(found.record_id),
        "version": visit.version,
        "privacy": mask.privacy(),
    }
    return apply(mask, values)


def _of(visit: Visit) -> tuple[Any, ...]:
    return (MedicalRecord.visit_id == visit.id, MedicalRecord.deleted_at.is_(None))


def standing_columns(role: Role) -> str:
    """SQL over ``v`` (a visit): what ``representation`` needs to know beside its row: ``inside``, ``in_team``,
    ``restricted``, ``past``, and what came of the visit."""
    inside = inside_rowwise("v.patient_id", None) if role.is_clinical else "FALSE"
    member = is_member("v.patient_id") if role.is_clinical else "FALSE"
    restricted = "EXISTS (SELECT FROM medical_records r WHERE r.visit_id = v.id AND r.restricted)"
    return (
        f"{inside} AS inside, {member} AS in_team, {restricted} AS restricted, "
        f"v.status IN {CLOSED} AS past, {TRIAGED_AT} AS triaged_at, {RECORD_ID} AS record_id"
    )


def is_member(patient: str) -> str:
    """SQL boolean: whether %(me)s is on the care team of ``patient``, which breaking the glass makes nobody."""
    return (
        f"coalesce((SELECT TRUE FROM care_team_members m WHERE m.patient_id = {patient} AND m.user_id = %(me)s "
        f"AND {CURRENT_MEMBER} LIMIT 1), FALSE)"
    )


@lru_cache(maxsize=8)
def representation(role: Role) -> str:
    """SQL json over ``s`` (a visit with ``standing_columns``) and its patient ``p``: the same, for lists that
    PostgreSQL builds."""
    mask = sql_mask("visit", role)
    allergies = "EXISTS (SELECT FROM allergies a WHERE a.patient_id = s.patient_id)"
    columns = {
        "id": "s.id",
        "patientId": "s.patient_id",
        "patientName": "coalesce(p.social_name, p.full_name)",
        "patientBirthDate": mask.field("patientBirthDate", "p.birth_date"),
        "patientSex": mask.field("patientSex", "p.sex"),
        "hasAllergies": mask.field("hasAllergies", allergies),
        "inCareTeam": "s.in_team",
        "reason": mask.field("reason", "s.reason"),
        "priority": mask.field("priority", "s.priority"),
        "status": mask.field("status", "s.status"),
        "doctorId": "s.doctor_id",
        "doctorName": "(SELECT u.full_name FROM users u WHERE u.id = s.doctor_id)",
        "arrivedAt": sql_time("s.arrived_at"),
        "calledAt": sql_time("s.called_at"),
        "closedAt": sql_time("s.closed_at"),
        "triagedAt": mask.field("triagedAt", sql_time("s.triaged_at")),
        "recordId": "s.record_id",
        "version": "s.version",
        "privacy": mask.privacy(),
    }
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    return f"(SELECT row_to_json(v) FROM (SELECT {selected} FROM patients p WHERE p.id = s.patient_id) v)"
