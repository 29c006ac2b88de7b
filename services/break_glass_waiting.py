"""Emergency accesses that nobody has reviewed yet: how many, and the oldest, as an auditor may see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import psycopg

from config import Principal
from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audit_event import UNAUDITED, Event
from services.audited_read import event_insert, event_parameters
from services.errors import Forbidden, Unavailable
from services.permissions import Permission
from services.record_fields import sql_time

# Ids alone: for an auditor the reason is masked, and so is who the patient and the reader are (PRODUCT).
STATEMENT = f"""
    WITH waiting AS MATERIALIZED (
        SELECT id, user_id, patient_id, acting_role, granted_at FROM break_glass_grants
        WHERE reviewed_at IS NULL ORDER BY granted_at, id
    ), shown AS MATERIALIZED (
        SELECT * FROM waiting ORDER BY granted_at, id LIMIT %(limit)s
    ), event AS (
        {event_insert("", entity_ids="ARRAY(SELECT id FROM shown)")}
    )
    SELECT (SELECT count(*) FROM waiting) AS number, coalesce((
        SELECT json_agg(json_build_object(
            'id', id, 'userId', user_id, 'patientId', patient_id, 'role', acting_role,
            'grantedAt', {sql_time("granted_at")}
        ) ORDER BY granted_at, id) FROM shown
    ), '[]'::json)::text AS data
"""


@dataclass(frozen=True, slots=True)
class WaitingAccesses:
    """``oldest``: mappings with id, userId, patientId, role, grantedAt."""

    number: int
    oldest: list[dict[str, Any]]


def waiting_accesses(databases: Databases, actor: Actor, *, limit: int = 5) -> WaitingAccesses:
    """In one statement with the event of the reading. Raises Forbidden (all but auditors), Unavailable."""
    actor.require(Permission.TRAIL_READ)
    if actor.role is not Role.AUDITOR:
        raise Forbidden("Emergency accesses are reviewed by auditors.")
    event = Event("break_glass.list", "break_glass_grant")
    try:
        with databases.autocommit(Principal.AUDITOR) as connection:
            row = connection.execute(STATEMENT, {"limit": limit, **event_parameters(actor, event)}).fetchone()
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    return WaitingAccesses(0, []) if row is None else WaitingAccesses(row[0], orjson.loads(row[1]))
