"""Whose rows these are: the names that stand beside them in a list, with the read's event, in one statement."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.masking_sql import sql_mask
from services.patient_view import inside
from services.permissions import Permission


def name_patients(databases: Databases, actor: Actor, patient_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Patient's id → ``{"name", "birthDate"}`` through the reader's mask, of those patients that exist.

    ``name`` is the social name where there is one; None for somebody not identified yet. The birth date tells
    two people of one name apart. Naming is a read of each patient: the event lists them as ``patient.list``
    does, so that they find it among those who saw them. Raises Forbidden, Unavailable.
    """
    actor.require(Permission.PATIENT_READ)
    wanted = sorted({uuid.UUID(each) for each in patient_ids})
    if not wanted:
        return {}
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "ids": wanted,
        **event_parameters(actor, Event(action="patient.list", entity_type="patient")),
    }
    row = read(databases, actor, _statement(actor.role), parameters)
    named: dict[str, dict[str, Any]] = orjson.loads(row["data"]) if row is not None else {}
    return named


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    mask = sql_mask("patient", role)
    name = f"coalesce({mask.field('socialName', 's.social_name')}, {mask.field('fullName', 's.full_name')})"
    return f"""
        WITH shown AS MATERIALIZED (
            SELECT p.id, p.full_name, p.social_name, p.birth_date, {inside(role)} AS inside
            FROM patients p WHERE p.id = ANY (%(ids)s)
        ), event AS (
            {event_insert("", entity_ids="ARRAY(SELECT id FROM shown)")}
        )
        SELECT coalesce(
            json_object_agg(
                s.id, json_build_object('name', {name}, 'birthDate', {mask.field("birthDate", "s.birth_date")})
            ), '{{}}'::json
        )::text AS data
        FROM shown s
    """
