"""Emergency accesses that await a review, need a follow-up, or are done with: one statement, with its event."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

from models.engine import Databases
from models.user import Role
from services import cursor as cursors
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.break_glass_view import FOLLOW_UP, SQL_ROW, in_scope, represent
from services.permissions import Permission


class Review(StrEnum):
    """How far the review of an emergency access has come."""

    AWAITED = "awaited"
    FOLLOW_UP = "follow-up"
    DONE = "done"


CONDITIONS = {
    Review.AWAITED: "g.reviewed_at IS NULL",
    Review.FOLLOW_UP: f"g.verdict = '{FOLLOW_UP}'",
    Review.DONE: f"g.verdict <> '{FOLLOW_UP}'",
}


def list_grants(
    databases: Databases, actor: Actor, review: Review, *, limit: int = 20, cursor: str | None = None
) -> dict[str, Any]:
    """``{"data": […], "nextCursor"}``: what is owed oldest first, what is done newest first.

    Raises Forbidden, Invalid (cursor), Unavailable.
    """
    actor.require(Permission.BREAK_GLASS_READ)
    plain = {"list": "break_glass", "review": review.value}
    # The event names the patients: so each finds it among those who saw something of theirs.
    event = Event("break_glass.list", "patient")
    parameters: dict[str, Any] = {"me": actor.user_id, "limit": limit, **event_parameters(actor, event)}
    if cursor is not None:
        parameters["after"], parameters["after_id"] = cursors.decode(plain, cursor, datetime, uuid.UUID)
    row = read(databases, actor, _statement(actor.role, review, cursor is not None), parameters)
    rows = orjson.loads(row["data"]) if row is not None and row["data"] is not None else []
    has_more = row is not None and row["has_more"]
    return {
        "data": [represent(actor, each) for each in rows],
        "nextCursor": cursors.encode(plain, rows[-1]["grantedAt"], rows[-1]["id"]) if has_more else None,
    }


@lru_cache(maxsize=32)
def _statement(role: Role, review: Review, continued: bool) -> str:
    order, beyond = ("DESC", "<") if review is Review.DONE else ("ASC", ">")
    conditions = [CONDITIONS[review], in_scope(role)]
    if continued:
        conditions.append(f"(g.granted_at, g.id) {beyond} (%(after)s, %(after_id)s)")
    event = event_insert("", entity_ids="ARRAY(SELECT DISTINCT patient_id FROM shown)")
    return f"""
        WITH page AS MATERIALIZED (
            SELECT g.* FROM break_glass_grants g WHERE {" AND ".join(conditions)}
            ORDER BY g.granted_at {order}, g.id {order} LIMIT %(limit)s + 1
        ), shown AS MATERIALIZED (
            SELECT * FROM page ORDER BY granted_at {order}, id {order} LIMIT %(limit)s
        ), event AS ({event})
        SELECT
            (SELECT json_agg({SQL_ROW} ORDER BY s.granted_at {order}, s.id {order}) FROM shown s)::text AS data,
            (SELECT count(*) > %(limit)s FROM page) AS has_more
    """
