"""One emergency access, and what was done to the patient's data while it lasted."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audit_event import Event
from services.audit_read import TrailFilters, list_events
from services.audited_read import event_insert, event_parameters, read
from services.break_glass_view import SQL_ROW, in_scope, represent
from services.errors import NotFound
from services.field_encryption import FieldCipher
from services.permissions import Permission

NO_GRANT = "There is no such emergency access."


def get_grant(databases: Databases, actor: Actor, grant_id: uuid.UUID) -> dict[str, Any]:
    """The access through the reader's mask. Raises Forbidden, NotFound (somebody else's patient), Unavailable."""
    actor.require(Permission.BREAK_GLASS_READ)
    event = Event("break_glass.read", "break_glass_grant", grant_id)
    parameters = {"me": actor.user_id, "id": grant_id, **event_parameters(actor, event)}
    row = read(databases, actor, _statement(actor.role), parameters)
    if row is None or row["data"] is None:
        raise NotFound(NO_GRANT)
    return represent(actor, orjson.loads(row["data"]))


def list_reads(
    databases: Databases, cipher: FieldCipher, actor: Actor, grant: dict[str, Any], *, cursor: str | None = None
) -> dict[str, Any]:
    """``{"data": […], "nextCursor"}``: the events by that person about that patient while the access lasted.

    Found by person, patient and time, not by the grant's id alone: a list that showed a row of the patient in
    the clear names no grant. Raises Forbidden (the trail is not for administrators), Invalid (cursor), Unavailable.
    """
    filters = TrailFilters(
        actor_id=uuid.UUID(grant["userId"]),
        patient_id=uuid.UUID(grant["patientId"]),
        start=datetime.fromisoformat(grant["grantedAt"]),
        end=datetime.fromisoformat(grant["expiresAt"]),
    )
    return list_events(databases, cipher, actor, filters, limit=50, cursor=cursor)


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    """A row always comes back: an unknown access leaves a refused event and no data."""
    event = event_insert(
        "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE",
        outcome="CASE WHEN f.id IS NOT NULL THEN 'success' ELSE 'refused' END",
        patient_id="f.patient_id",
    )
    return f"""
        WITH found AS MATERIALIZED (
            SELECT g.* FROM break_glass_grants g WHERE g.id = %(id)s AND {in_scope(role)}
        ), event AS ({event})
        SELECT (SELECT {SQL_ROW} FROM found s)::text AS data
    """
