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
from services.permissions import Permission
from services.visit_fields import representation, standing_columns


def get_visit(databases: Databases, actor: Actor, visit_id: uuid.UUID) -> dict[str, Any]:
    """The visit as the API shows it to this actor. Raises Forbidden, NotFound, Unavailable."""
    actor.require(Permission.VISIT_READ)
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "id": visit_id,
        **event_parameters(actor, Event(action="visit.read", entity_type="visit", entity_id=visit_id)),
    }
    row = read(databases, actor, _statement(actor.role), parameters)
    if row is None or row["data"] is None:
        raise NotFound("There is no such visit.")
    shown: dict[str, Any] = orjson.loads(row["data"])
    return shown


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    """A row always comes back: an unknown or hidden visit leaves a refused event and no data."""
    event = event_insert(
        "FROM (SELECT 1) AS always LEFT JOIN shown f ON TRUE",
        outcome="CASE WHEN f.id IS NOT NULL THEN 'success' ELSE 'refused' END",
        patient_id="f.patient_id",
        to_version="f.version",
    )
    return f"""
        WITH shown AS MATERIALIZED (
            SELECT v.*, {standing_columns(role)} FROM visits v WHERE v.id = %(id)s
        ), event AS ({event})
        SELECT CASE WHEN s.id IS NOT NULL THEN {representation(role)} END::text AS data
        FROM (SELECT 1) AS always LEFT JOIN shown s ON TRUE
    """
