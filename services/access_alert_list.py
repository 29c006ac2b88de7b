"""Alerts about unusual accesses, the newest first: one statement, with its event."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson
import psycopg

from config import Principal
from models.engine import Databases
from services import cursor as cursors
from services.access_alert_view import SQL_ROW, represent
from services.actor import Actor
from services.audit_event import UNAUDITED, Event
from services.audited_read import event_insert, event_parameters
from services.errors import Unavailable
from services.permissions import Permission


class State(StrEnum):
    """Whether somebody gave a verdict."""

    OPEN = "open"
    REVIEWED = "reviewed"


def list_alerts(
    databases: Databases, actor: Actor, state: State, *, limit: int = 20, cursor: str | None = None
) -> dict[str, Any]:
    """``{"data": […], "nextCursor", "number"}``; ``number``: how many there are in this state.

    Raises Forbidden (all but auditors), Invalid (cursor), Unavailable.
    """
    actor.require(Permission.ALERT_READ)
    plain = {"list": "access_alerts", "state": state.value}
    before = None if cursor is None else cursors.decode(plain, cursor, int)[0]
    event = Event("access_alert.list", "access_alert")
    given = {"limit": limit, "before": before, **event_parameters(actor, event)}
    try:
        with databases.autocommit(Principal.AUDITOR) as connection:
            row = connection.execute(_statement(state, before is not None), given).fetchone()
    except psycopg.DataError:
        raise
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    data, has_more, number = row or ("[]", False, 0)
    rows = [represent(actor, each) for each in orjson.loads(data)]
    following = cursors.encode(plain, rows[-1]["number"]) if has_more else None
    return {"data": rows, "nextCursor": following, "number": number}


@lru_cache(maxsize=4)
def _statement(state: State, continued: bool) -> str:
    condition = "a.reviewed_at IS NULL" if state is State.OPEN else "a.reviewed_at IS NOT NULL"
    beyond = " AND a.number < %(before)s" if continued else ""
    return f"""
        WITH page AS MATERIALIZED (
            SELECT a.* FROM access_alerts a WHERE {condition}{beyond} ORDER BY a.number DESC LIMIT %(limit)s + 1
        ), shown AS MATERIALIZED (
            SELECT * FROM page ORDER BY number DESC LIMIT %(limit)s
        ), event AS (
            {event_insert("", entity_ids="ARRAY(SELECT id FROM shown ORDER BY number DESC)")}
        )
        SELECT
            coalesce((SELECT json_agg({SQL_ROW} ORDER BY s.number DESC) FROM shown s), '[]'::json)::text,
            (SELECT count(*) > %(limit)s FROM page),
            (SELECT count(*) FROM access_alerts a WHERE {condition})
    """
