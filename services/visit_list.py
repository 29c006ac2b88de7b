"""The worklist: who waits and who is in care, with the read's event, in one statement."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from models.engine import Databases
from models.user import Role
from models.visit import VISIT_STATUSES
from services import cursor as cursors
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.errors import Invalid
from services.permissions import Permission
from services.record_list import JsonPage
from services.visit_fields import CLOSED, is_member, representation, standing_columns

# As in the index ix_visits_worklist, letter for letter, so that PostgreSQL uses it.
RANK = "array_position(ARRAY['CRITICAL','HIGH','NORMAL','LOW'], v.priority)"


class Waiting(StrEnum):
    """Which of those who wait are wanted; the ones in care are shown beside them either way."""

    MINE = "mine"  # they wait for the reader by name, or for nobody in particular and the reader is on their team
    CRITICAL = "critical"


# Priority is clear to all who see the list, and who they wait for too, so neither filter betrays a masked field.
WAITING_WHERE = {
    Waiting.MINE: f"(v.doctor_id = %(me)s OR v.doctor_id IS NULL AND {is_member('v.patient_id')})",
    Waiting.CRITICAL: "v.priority = 'CRITICAL'",
}


def list_visits(
    databases: Databases,
    actor: Actor,
    *,
    status: str | None = None,
    waiting: Waiting | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> JsonPage:
    """Open visits (or those WAITING, or IN_CARE) by priority, then arrival; DONE or LEFT ones latest first.

    ``waiting`` narrows those who wait. Raises Forbidden, Invalid (status, cursor), Unavailable.
    """
    actor.require(Permission.VISIT_READ)
    if status is not None and status not in VISIT_STATUSES:
        raise Invalid.at("/status", f"one of {', '.join(VISIT_STATUSES)}")
    filters = {"list": "visits", "status": status, "waiting": waiting}
    parameters: dict[str, Any] = {
        "me": actor.user_id,
        "role": actor.role.value,
        "status": status,
        "limit": limit,
        **event_parameters(actor, Event(action="visit.list", entity_type="visit")),
    }
    is_history = status in CLOSED
    if cursor is not None and is_history:
        parameters["after"], parameters["after_id"] = cursors.decode(filters, cursor, datetime, uuid.UUID)
    elif cursor is not None:
        names = ("after_rank", "after", "after_id")
        parameters |= zip(names, cursors.decode(filters, cursor, int, datetime, uuid.UUID), strict=True)
    row = read(databases, actor, _statement(actor.role, status, waiting, cursor is not None), parameters)
    if row is None or row["data"] is None:
        return JsonPage(b"[]", None)
    key = (row["last_at"], row["last_id"]) if is_history else (row["last_rank"], row["last_at"], row["last_id"])
    return JsonPage(row["data"], cursors.encode(filters, *key) if row["has_more"] else None)


@lru_cache(maxsize=64)
def _statement(role: Role, status: str | None, waiting: Waiting | None, continued: bool) -> str:
    is_history = status in CLOSED
    # The statuses stand in the text: the planner matches them with the partial index.
    conditions = ["v.status IN ('WAITING', 'IN_CARE')"] if not is_history else []
    if status is not None:
        conditions.append(f"v.status = '{status}'")
    if waiting is not None:
        conditions.append(f"(v.status <> 'WAITING' OR {WAITING_WHERE[waiting]})")
    if is_history:
        order, reverse = "arrived_at DESC, id DESC", "arrived_at, id"
        after = "(v.arrived_at, v.id) < (%(after)s, %(after_id)s)"
    else:
        order, reverse = "rank, arrived_at, id", "rank DESC, arrived_at DESC, id DESC"
        after = f"({RANK}, v.arrived_at, v.id) > (%(after_rank)s, %(after)s, %(after_id)s)"
    if continued:
        conditions.append(after)
    return f"""
        WITH page AS MATERIALIZED (
            SELECT v.*, {RANK} AS rank FROM visits v WHERE {" AND ".join(conditions)}
            ORDER BY {order} LIMIT %(limit)s + 1
        ), shown AS MATERIALIZED (
            SELECT v.*, {standing_columns(role)} FROM (SELECT * FROM page ORDER BY {order} LIMIT %(limit)s) v
        ), event AS (
            {event_insert("", entity_ids="ARRAY(SELECT id FROM shown)")}
        )
        SELECT
            (
                SELECT json_agg({representation(role)}) FROM (SELECT * FROM shown ORDER BY {order}) s
            )::text::bpchar AS data,
            (SELECT count(*) > %(limit)s FROM page) AS has_more,
            last.rank AS last_rank, last.arrived_at AS last_at, last.id AS last_id
        FROM (SELECT 1) AS always
        LEFT JOIN (SELECT rank, arrived_at, id FROM shown ORDER BY {reverse} LIMIT 1) AS last ON TRUE
    """
