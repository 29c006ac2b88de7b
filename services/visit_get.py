"""Read one visit through the reader's mask, with its event, in one statement."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

import orjson

from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.errors import NotFound
from services.masking import role_relation
from services.masking_sql import BREAK_GLASS
from services.permissions import Permission
from services.visit_fields import representation, standing_columns
from services.visit_write import NO_VISIT


def get_visit(databases: Databases, actor: Actor, visit_id: uuid.UUID) -> dict[str, Any]:
    """The visit as the API shows it. Raises Forbidden, NotFound (for a PATIENT anybody else's), Unavailable."""
    actor.require(Permission.VISIT_READ)
    event = Event(action="visit.read", entity_type="visit", entity_id=visit_id)
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "id": visit_id,
        **event_parameters(actor, event),
    }
    row = read(databases, actor, _statement(actor.role), parameters)
    if row is None or row["data"] is None:
        raise NotFound(NO_VISIT)
    shown: dict[str, Any] = orjson.loads(row["data"])
    return shown


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    """A row always comes back: an unknown visit leaves a refused event and no data."""
    relation = role_relation(role, in_team=False).value
    basis, grant = f"'{relation}'", "NULL::uuid"
    if role.is_clinical:
        broken = BREAK_GLASS.format(patient="f.patient_id").replace("SELECT FROM", "SELECT g.id FROM")
        grant = f"CASE WHEN f.inside AND NOT f.in_team THEN ({broken} ORDER BY g.expires_at DESC LIMIT 1) END"
        basis = (
            f"CASE WHEN f.in_team THEN 'care-team' WHEN f.inside THEN 'break-glass' "
            f"WHEN f.id IS NOT NULL THEN '{relation}' END"
        )
    event = event_insert(
        "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE",
        outcome="CASE WHEN f.id IS NOT NULL THEN 'success' ELSE 'refused' END",
        patient_id="f.patient_id",
        to_version="f.version",
        basis=basis,
        basis_id=grant,
    )
    return f"""
        WITH found AS MATERIALIZED (
            SELECT v.*, {standing_columns(role)} FROM visits v WHERE v.id = %(id)s
        ), event AS ({event})
        SELECT (SELECT {representation(role)} FROM found s)::text AS data
    """
