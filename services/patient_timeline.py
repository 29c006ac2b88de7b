"""What happened to a patient, newest first: records and visits in one list, each through the reader's mask.

One statement finds the page and writes its two events, ``medical_record.list`` and ``visit.list``, each naming
exactly the rows that are shown: a page shows no more than it says it does.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import lru_cache
from typing import Any

from models import new_id
from models.engine import Databases
from models.user import Role
from services import cursor as cursors
from services.access import NO_PATIENT
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.errors import Gone, NotFound
from services.patient_get import INACTIVE
from services.permissions import Permission
from services.record_list import COLUMNS, JsonPage
from services.record_sql import in_utc
from services.record_sql import inside as record_inside
from services.record_sql import representation as record_json
from services.visit_fields import representation as visit_json
from services.visit_fields import standing_columns


def read_timeline(
    databases: Databases, actor: Actor, patient_id: uuid.UUID, *, limit: int = 20, cursor: str | None = None
) -> JsonPage:
    """Entries ``{"type": "record" | "visit", "at", "entry"}``, where ``entry`` is the representation that the lists
    of records and visits give. A record stands at the time of care, a visit at its arrival; inactive records are
    left out.

    Raises Forbidden, NotFound, Gone, Invalid (cursor), Unavailable.
    """
    actor.require(Permission.RECORD_READ)
    actor.require(Permission.VISIT_READ)
    filters = {"list": "timeline", "patient": patient_id}
    event = Event(action="medical_record.list", entity_type="medical_record", patient_id=patient_id)
    parameters: dict[str, Any] = {
        "me": actor.user_id,
        "role": actor.role.value,
        "id": patient_id,
        "limit": limit,
        "visit_event_id": new_id(),
        **event_parameters(actor, event),
    }
    if cursor is not None:
        parameters["after"], parameters["after_id"] = cursors.decode(filters, cursor, datetime, uuid.UUID)
    row = read(databases, actor, _statement(actor.role, cursor is not None), parameters)
    if row is None or row["found"] is None:
        raise NotFound(NO_PATIENT)
    if row["is_gone"]:
        raise Gone(INACTIVE)
    following = cursors.encode(filters, row["last_at"], row["last_id"]) if row["has_more"] else None
    return JsonPage(in_utc(row["data"]), following)


@lru_cache(maxsize=16)
def _statement(role: Role, continued: bool) -> str:
    after_record = "AND (r.occurred_at, r.id) < (%(after)s, %(after_id)s)" if continued else ""
    after_visit = "AND (v.arrived_at, v.id) < (%(after)s, %(after_id)s)" if continued else ""
    known = "AND p.deleted_at IS NULL" if role is Role.PATIENT else ""
    source = "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE"
    outcome = "CASE WHEN f.id IS NOT NULL AND f.deleted_at IS NULL THEN 'success' ELSE 'refused' END"
    records = event_insert(
        source, outcome=outcome, patient_id="f.id", entity_ids="ARRAY(SELECT id FROM shown WHERE NOT is_visit)"
    )
    visits = event_insert(
        source, outcome=outcome, patient_id="f.id", entity_ids="ARRAY(SELECT id FROM shown WHERE is_visit)",
        id="%(visit_event_id)s", action="'visit.list'", entity_type="'visit'",
    )  # fmt: skip
    return f"""
        WITH found AS MATERIALIZED (
            SELECT p.id, p.deleted_at FROM patients p WHERE p.id = %(id)s {known}
        ), page AS MATERIALIZED (
            SELECT both_.* FROM found f, LATERAL (
                (
                    SELECT r.occurred_at AS at, r.id, FALSE AS is_visit FROM medical_records r
                    WHERE r.patient_id = f.id AND r.deleted_at IS NULL {after_record}
                    ORDER BY r.occurred_at DESC, r.id DESC LIMIT %(limit)s + 1
                ) UNION ALL (
                    SELECT v.arrived_at, v.id, TRUE FROM visits v WHERE v.patient_id = f.id {after_visit}
                    ORDER BY v.arrived_at DESC, v.id DESC LIMIT %(limit)s + 1
                )
            ) both_
            WHERE f.deleted_at IS NULL ORDER BY at DESC, id DESC LIMIT %(limit)s + 1
        ), shown AS MATERIALIZED (
            SELECT * FROM page ORDER BY at DESC, id DESC LIMIT %(limit)s
        ), records AS MATERIALIZED (
            SELECT {COLUMNS}, {record_inside(role)} AS inside
            FROM shown k JOIN medical_records r ON r.id = k.id WHERE NOT k.is_visit
        ), stays AS MATERIALIZED (
            SELECT v.*, {standing_columns(role)} FROM shown k JOIN visits v ON v.id = k.id WHERE k.is_visit
        ), record_event AS ({records}), visit_event AS ({visits}), entries AS (
            SELECT s.id, json_build_object(
                'type', 'record', 'at', s.occurred_at, 'entry', {record_json(role)}) AS entry FROM records s
            UNION ALL
            SELECT s.id, json_build_object(
                'type', 'visit', 'at', s.arrived_at, 'entry', {visit_json(role)}) AS entry FROM stays s
        )
        SELECT f.id AS found, f.deleted_at IS NOT NULL AS is_gone,
            coalesce((
                SELECT json_agg(e.entry ORDER BY k.at DESC, k.id DESC) FROM shown k JOIN entries e ON e.id = k.id
            ), '[]'::json)::text::bpchar AS data,
            (SELECT count(*) > %(limit)s FROM page) AS has_more,
            last.at AS last_at, last.id AS last_id
        FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE
        LEFT JOIN (SELECT at, id FROM shown ORDER BY at, id LIMIT 1) AS last ON TRUE
    """
