"""Who saw my record: every event about one patient, for that patient, in words they can follow."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from config import Principal
from models.engine import Databases
from services import cursor as cursors
from services.actor import Actor
from services.audit_event import UNAUDITED, Event
from services.audit_read import Connection, Row, TrailFilters, grant_reasons, keep_listed, page, write_event
from services.audit_scope import scope_of
from services.errors import Forbidden, Unavailable
from services.permissions import Permission
from services.record_fields import time_text

BREAK_GLASS = "break-glass"


MOST_IN_RECEIPT = 1_000


def list_accesses(
    databases: Databases, actor: Actor, *, by_others: bool = False, limit: int = 20, cursor: str | None = None
) -> dict[str, Any]:
    """``{"data": […], "nextCursor"}``, newest first: everything anybody did with the caller's own record, lists
    that showed it included; the caller's own looks too, unless only those ``by_others`` are asked for.

    The role asked is the auditor's, limited to the one patient: a patient's own role sees nothing of the trail.
    Raises Forbidden, Invalid (cursor), Unavailable.
    """
    filters = {"patient": actor.patient_id, "by_others": by_others or None}
    before = None if cursor is None else cursors.decode(filters, cursor, int)[0]
    accesses = _read(databases, actor, "access_log.read", by_others=by_others, before=before, limit=limit)
    return {
        "data": [_shown(row, accesses) for row in accesses.rows],
        "nextCursor": cursors.encode(filters, accesses.rows[-1]["sequence"]) if accesses.has_more else None,
    }


def accesses_for_receipt(databases: Databases, actor: Actor) -> dict[str, Any]:
    """``{"data", "isWhole"}``: what ``list_accesses`` shows of others and oneself, the newest ``MOST_IN_RECEIPT``, each
    with its number in the trail (``sequence``) and its chain hash in hex. Raises Forbidden, Unavailable."""
    accesses = _read(databases, actor, "access_log.receipt", by_others=False, before=None, limit=MOST_IN_RECEIPT)
    return {
        "data": [
            _shown(row, accesses) | {"sequence": row["sequence"], "hash": bytes(row["hash"]).hex()}
            for row in accesses.rows
        ],
        "isWhole": not accesses.has_more,
    }


@dataclass(frozen=True, slots=True)
class _Accesses:
    """Events about one patient, and what they refer to: user → (name, council number), grant → reason."""

    reader_id: uuid.UUID
    rows: Sequence[Row]
    has_more: bool
    people: dict[uuid.UUID, tuple[str, str | None]]
    reasons: dict[uuid.UUID, str]


def _read(
    databases: Databases, actor: Actor, action: str, *, by_others: bool, before: int | None, limit: int
) -> _Accesses:
    """Audited as ``action``."""
    actor.require(Permission.ACCESS_LOG_READ)
    if actor.patient_id is None:
        raise Forbidden("Your account is not linked to a patient. Ask reception to link it.")
    event = Event(action, "patient", actor.patient_id, patient_id=actor.patient_id, basis="own")
    try:
        with databases.autocommit(Principal.AUDITOR) as connection, connection.transaction():
            scope = scope_of(connection, [actor.patient_id])
            whose = TrailFilters(other_than_id=actor.user_id if by_others else None)
            rows = page(connection, whose, scope, before=before, limit=limit + 1)
            shown = rows[:limit]
            keep_listed(connection, shown, scope)
            people, reasons = _people(connection, shown), grant_reasons(connection, shown)
            write_event(connection, actor, event)
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    return _Accesses(actor.user_id, shown, len(rows) > limit, people, reasons)


def _people(connection: Connection, rows: Sequence[Row]) -> dict[uuid.UUID, tuple[str, str | None]]:
    """User → (name, council number)."""
    ids = list({row["actor_id"] for row in rows if row["actor_id"] is not None})
    found = connection.execute("SELECT id, full_name, council FROM users WHERE id = ANY (%s)", (ids,)).fetchall()
    return {user_id: (name, council) for user_id, name, council in found}


def _shown(row: Row, accesses: _Accesses) -> dict[str, Any]:
    name, council = accesses.people.get(row["actor_id"], (None, None))
    return {
        "id": str(row["id"]),
        "occurredAt": time_text(row["occurred_at"]),
        "action": row["action"],
        "outcome": row["outcome"],
        "isOwn": row["actor_id"] == accesses.reader_id,
        "actor": {"name": name, "role": row["actor_role"], "council": council},
        "entityType": row["entity_type"],
        "entityId": None if row["entity_id"] is None else str(row["entity_id"]),
        "entityIds": None if row["entity_ids"] is None else [str(each) for each in row["entity_ids"]],
        "basis": row["basis"],
        "isBreakGlass": row["basis"] == BREAK_GLASS,
        "reason": accesses.reasons.get(row["basis_id"]),
    }
