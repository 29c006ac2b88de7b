"""Patients that somebody is likely to write about now: their care teams', those they wrote about last, and for
doctors those who wait or are in care. One statement, with the read's event."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from models.engine import Databases
from models.user import Role
from services.access import CURRENT_MEMBER
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.masking_sql import sql_mask
from services.permissions import Permission

MOST = 50


def list_choices(databases: Databases, actor: Actor) -> list[dict[str, Any]]:
    """At most ``MOST`` patients by name: id, fullName, socialName, motherName and birthDate, through the mask.

    Raises Forbidden, Unavailable.
    """
    actor.require(Permission.RECORD_CREATE)
    parameters = {"me": actor.user_id, "most": MOST, **event_parameters(actor, Event("patient.list", "patient"))}
    row = read(databases, actor, _statement(actor.role), parameters)
    chosen: list[dict[str, Any]] = [] if row is None or row["data"] is None else orjson.loads(row["data"])
    return chosen


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    recent = [
        "SELECT m.patient_id AS id, m.added_at AS at FROM care_team_members m "
        f"WHERE m.user_id = %(me)s AND {CURRENT_MEMBER}"
    ]
    if role is Role.DOCTOR:  # nurses write about their own teams' patients only
        recent += [
            "(SELECT r.patient_id, r.occurred_at FROM medical_records r WHERE r.author_id = %(me)s "
            "ORDER BY r.occurred_at DESC LIMIT 4 * %(most)s)",
            "SELECT v.patient_id, v.arrived_at FROM visits v WHERE v.status IN ('WAITING', 'IN_CARE')",
        ]
    mask = sql_mask("patient", role)
    columns = {
        "fullName": "s.full_name", "socialName": "s.social_name", "motherName": "s.mother_name",
        "birthDate": "s.birth_date",
    }  # fmt: skip
    selected = ", ".join(f'{mask.field(name, column)} AS "{name}"' for name, column in columns.items())
    return f"""
        WITH recent AS (
            SELECT id, max(at) AS at FROM ({" UNION ALL ".join(recent)}) AS found GROUP BY id
        ), shown AS MATERIALIZED (
            SELECT p.*, FALSE AS inside FROM recent JOIN patients p ON p.id = recent.id
            WHERE p.deleted_at IS NULL ORDER BY recent.at DESC LIMIT %(most)s
        ), event AS ({event_insert("", entity_ids="ARRAY(SELECT id FROM shown)")})
        SELECT (
            SELECT json_agg((SELECT row_to_json(v) FROM (SELECT s.id, {selected}) v) ORDER BY s.name_key, s.id)
            FROM shown s
        )::text AS data
    """
