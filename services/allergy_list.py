"""A patient's allergies through the reader's mask, with the read's event, in one statement."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache

import orjson

from models.engine import Databases
from models.user import Role
from services.access import NO_PATIENT
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.errors import Gone, NotFound
from services.masking import Visibility, mask_for, role_relation
from services.masking_sql import sql_mask
from services.patient_get import INACTIVE
from services.patient_view import inside
from services.permissions import Permission
from services.record_fields import sql_time


@dataclass(frozen=True, slots=True)
class JsonAllergies:
    """``data`` is a JSON array, or ``null`` where all of it is hidden: how many there are says something, and
    an empty array would say that there are none. ``privacy`` is a JSON object that names what is hidden."""

    data: bytes
    privacy: bytes


def list_allergies(databases: Databases, actor: Actor, patient_id: uuid.UUID) -> JsonAllergies:
    """Allergies in the order they were noted. Raises Forbidden, NotFound, Gone, Unavailable."""
    actor.require(Permission.ALLERGY_READ)
    event = Event(action="allergy.list", entity_type="allergy", patient_id=patient_id)
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "id": patient_id,
        **event_parameters(actor, event),
    }
    row = read(databases, actor, _statement(actor.role), parameters)
    if row is None or row["found"] is None:
        raise NotFound(NO_PATIENT)
    if row["is_gone"]:
        raise Gone(INACTIVE)
    mask = mask_for("allergy", role_relation(actor.role, in_team=row["inside"]))
    data = b"null" if is_hidden(actor.role) else row["data"]
    return JsonAllergies(data, orjson.dumps(mask.privacy()))


def is_hidden(role: Role) -> bool:
    """Whether the table hides every field of an allergy from ``role``, whatever the care team."""
    masks = [mask_for("allergy", role_relation(role, in_team=in_team)) for in_team in (True, False)]
    return all(seen is Visibility.HIDDEN for mask in masks for seen in mask.fields.values())


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    mask = sql_mask("allergy", role)
    known = "AND p.deleted_at IS NULL" if role is Role.PATIENT else ""
    columns = {
        "id": "s.id",
        "patientId": "s.patient_id",
        "substance": mask.field("substance", "s.substance"),
        "reaction": mask.field("reaction", "s.reaction"),
        "severity": mask.field("severity", "s.severity"),
        "notedAt": mask.field("notedAt", sql_time("s.noted_at")),
        "createdAt": sql_time("s.created_at"),
        "privacy": mask.privacy(),
    }
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    rows = "FALSE" if is_hidden(role) else "f.deleted_at IS NULL AND a.patient_id = f.id"
    event = event_insert(
        "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE",
        outcome="CASE WHEN f.id IS NOT NULL AND f.deleted_at IS NULL THEN 'success' ELSE 'refused' END",
        patient_id="f.id",
        entity_ids="ARRAY(SELECT id FROM shown)",
    )
    return f"""
        WITH found AS MATERIALIZED (
            SELECT p.id, p.deleted_at, {inside(role)} AS inside FROM patients p WHERE p.id = %(id)s {known}
        ), shown AS MATERIALIZED (
            SELECT a.*, f.inside FROM found f JOIN allergies a ON {rows}
        ), event AS ({event})
        SELECT f.id AS found, f.deleted_at IS NOT NULL AS is_gone, f.inside,
            coalesce((
                SELECT json_agg((SELECT row_to_json(v) FROM (SELECT {selected}) v) ORDER BY s.id) FROM shown s
            ), '[]'::json)::text::bpchar AS data
        FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE
    """
