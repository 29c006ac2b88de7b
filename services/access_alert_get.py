"""One alert, and the events it was raised for."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import orjson
import psycopg

from config import Principal
from models.engine import Databases
from services.access_alert_view import NO_ALERT, SQL_ROW, represent
from services.actor import Actor
from services.audit_event import UNAUDITED, Event
from services.audit_read import TrailFilters, list_events
from services.audited_read import event_insert, event_parameters
from services.errors import NotFound, Unavailable
from services.field_encryption import FieldCipher
from services.permissions import Permission

# A row always comes back: an unknown alert leaves a refused event and no data.
STATEMENT = f"""
    WITH found AS MATERIALIZED (
        SELECT a.* FROM access_alerts a WHERE a.id = %(id)s
    ), event AS (
        {event_insert(
            "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE",
            outcome="CASE WHEN f.id IS NOT NULL THEN 'success' ELSE 'refused' END",
        )}
    )
    SELECT (SELECT {SQL_ROW} FROM found s)::text
"""


def get_alert(databases: Databases, actor: Actor, alert_id: uuid.UUID) -> dict[str, Any]:
    """The alert. Raises Forbidden (all but auditors), NotFound, Unavailable."""
    actor.require(Permission.ALERT_READ)
    event = Event("access_alert.read", "access_alert", alert_id)
    try:
        with databases.autocommit(Principal.AUDITOR) as connection:
            row = connection.execute(STATEMENT, {"id": alert_id, **event_parameters(actor, event)}).fetchone()
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    if row is None or row[0] is None:
        raise NotFound(NO_ALERT)
    return represent(actor, orjson.loads(row[0]))


def list_what_happened(
    databases: Databases, cipher: FieldCipher, actor: Actor, alert: dict[str, Any], *, limit: int = 20
) -> dict[str, Any]:
    """``{"data": […], "nextCursor"}``: the newest events of that person while it lasted, about the patient where the
    alert is about one. Raises Forbidden, Unavailable."""
    filters = TrailFilters(
        actor_id=uuid.UUID(alert["userId"]),
        patient_id=None if alert["patientId"] is None else uuid.UUID(alert["patientId"]),
        start=datetime.fromisoformat(alert["startedAt"]),
        end=datetime.fromisoformat(alert["lastAt"]),
    )
    return list_events(databases, cipher, actor, filters, limit=limit)
