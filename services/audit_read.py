"""Read the trail: the auditor all of it with values masked, a doctor or nurse what concerns their patients.

What a field was before and after is joined from the version rows and passes through the reader's mask, as
does the reason. The reading is itself an event, committed before a row is shown.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from config import Principal
from models.engine import Databases
from models.user import Role
from services import cursor as cursors
from services.actor import Actor
from services.audit_event import UNAUDITED, Event, Origin
from services.audit_scope import MINE, Scope, owners_of, scope_of, team_of
from services.audited_read import event_insert, event_parameters
from services.errors import Unavailable
from services.field_encryption import FieldCipher
from services.masking import Relation, Visibility, partial, role_relation, visibility
from services.patient_fields import open_content
from services.permissions import Permission
from services.record_fields import time_text

SEES_REASON = frozenset({Relation.CARE_TEAM, Relation.OWN})
# Kind of thing → its version rows (table, id column) and its name in the masking table.
VERSIONED = {
    "medical_record": ("record_versions", "record_id", "record"),
    "patient": ("patient_versions", "patient_id", "patient"),
}

# An event is sealed after it happened; a day allows for clocks that disagree. Spares the partitions before.
CONDITIONS = {
    "entity_type": "t.entity_type = %(entity_type)s",
    # In a list over many patients it is looked for only when it is the reader's to see: else whether the list is
    # found would tell that somebody else's row was on it.
    "entity_id": "(t.entity_id = %(entity_id)s OR t.entity_ids @> ARRAY[%(entity_id)s::uuid] AND %(is_within)s)",
    "actor_id": "t.actor_id = %(actor_id)s",
    # What is done by token is done by whoever holds it, in whose name it may be.
    "other_than_id": "(t.actor_id IS DISTINCT FROM %(other_than_id)s OR t.token_id IS NOT NULL)",
    "action": "t.action = %(action)s",
    "outcome": "t.outcome = %(outcome)s",
    "start": "t.occurred_at >= %(start)s AND t.sealed_at >= %(start)s - interval '1 day'",
    "end": "t.occurred_at <= %(end)s",
}
COLUMNS = """
    t.id, t.occurred_at, t.action, t.outcome, t.actor_id, t.actor_role, t.entity_type, t.entity_id, t.entity_ids,
    t.patient_id, t.from_version, t.to_version, t.changes, t.basis, t.basis_id, host(t.ip) AS ip, t.user_agent,
    t.request_id, t.token_id, t.sequence, t.hash
"""

Row = dict[str, Any]
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class TrailFilters:
    """What a list of events is narrowed to. ``start`` and ``end`` bound occurredAt, both included;
    ``entity_id`` finds lists that named it too, ``patient_id`` everything about that patient, ``other_than_id``
    what anybody but that person did."""

    entity_type: str | None = None
    entity_id: uuid.UUID | None = None
    actor_id: uuid.UUID | None = None
    other_than_id: uuid.UUID | None = None
    patient_id: uuid.UUID | None = None
    action: str | None = None
    outcome: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def list_events(
    databases: Databases,
    cipher: FieldCipher,
    actor: Actor,
    filters: TrailFilters,
    *,
    limit: int = 20,
    cursor: str | None = None,
) -> dict[str, Any]:
    """``{"data": […], "nextCursor"}``, newest first by sequence. Raises Forbidden, Invalid (cursor), Unavailable."""
    actor.require(Permission.TRAIL_READ)
    plain = asdict(filters)
    before = None if cursor is None else cursors.decode(plain, cursor, int)[0]
    event = Event("audit.read", "audit_event", patient_id=filters.patient_id)
    try:
        with databases.autocommit(Principal.AUDITOR) as connection, connection.transaction():
            scope = _scope(connection, actor, filters)
            rows = page(connection, filters, scope, before=before, limit=limit + 1)
            shown, has_more = rows[:limit], len(rows) > limit
            if actor.role is not Role.AUDITOR and scope is not None:
                keep_listed(connection, shown, scope)
            values = _values(connection, cipher, actor, shown)
            data = [represent(row, *found) for row, found in zip(shown, values, strict=True)]
            write_event(connection, actor, replace(event, entity_ids=tuple(row["id"] for row in shown)))
    except psycopg.DataError:
        raise
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    return {"data": data, "nextCursor": cursors.encode(plain, shown[-1]["sequence"]) if has_more else None}


def _scope(connection: Connection, actor: Actor, filters: TrailFilters) -> Scope | None:
    """The patients to whose events this reader is limited; None: all there is."""
    if actor.role is Role.AUDITOR:
        return None if filters.patient_id is None else scope_of(connection, [filters.patient_id])
    team = team_of(connection, actor.user_id)
    return scope_of(connection, [each for each in team if filters.patient_id in (None, each)])


def page(
    connection: Connection, filters: TrailFilters, scope: Scope | None, *, before: int | None, limit: int
) -> list[Row]:
    """At most ``limit`` events, newest first, with a sequence below ``before``."""
    values = asdict(filters) | {"before": before, "limit": limit, "is_within": scope is None}
    if scope is not None and filters.entity_id is not None:
        owner = owners_of(connection, [filters.entity_id]).get(filters.entity_id)
        values["is_within"] = owner in scope.patients
    conditions = [condition for name, condition in CONDITIONS.items() if values[name] is not None]
    if before is not None:
        conditions.append("t.sequence < %(before)s")
    if scope is not None:
        values |= scope.parameters
    statement = _page_statement(conditions, scope)
    # With its values in the text it is planned for them, which ``plan_cache_mode`` would prevent otherwise: ten ids
    # and ten thousand want different plans.
    with psycopg.ClientCursor(connection, row_factory=dict_row) as cursor:
        return cursor.execute(statement, values).fetchall()


def _page_statement(conditions: list[str], scope: Scope | None) -> str:
    if scope is None or not scope.is_indexed:
        where = " AND ".join([*conditions, *([] if scope is None else [scope.condition])]) or "TRUE"
        first = "" if scope is None else MINE
        return f"{first} SELECT {COLUMNS} FROM audit_trail t WHERE {where} ORDER BY t.sequence DESC LIMIT %(limit)s"
    # Asked all at once and for the newest few, the planner would look at event after event until it has them: at a
    # whole trail, for somebody who is seldom in it.
    about = " UNION ALL ".join(
        f"SELECT t.sequence FROM audit_trail t WHERE {' AND '.join([*conditions, f'({alternative})'])}"
        for alternative in scope.alternatives
    )
    return f"""
        WITH about AS MATERIALIZED ({about})
        SELECT {COLUMNS} FROM audit_trail t WHERE t.sequence = ANY (
            ARRAY(SELECT DISTINCT sequence FROM about ORDER BY sequence DESC LIMIT %(limit)s)
        ) ORDER BY t.sequence DESC
    """


def keep_listed(connection: Connection, rows: Sequence[Row], scope: Scope) -> None:
    """Leave in each list's ids only those of the scope's patients: who else was on it is not the reader's."""
    lists = [row for row in rows if row["entity_ids"] and row["patient_id"] is None]
    owners = owners_of(connection, {each for row in lists for each in row["entity_ids"]})
    for row in lists:
        row["entity_ids"] = [each for each in row["entity_ids"] if owners.get(each) in scope.patients]


def write_event(connection: Connection, actor: Actor | Origin, event: Event) -> None:
    """The event of the reading, in the reading's transaction."""
    connection.execute(event_insert(""), event_parameters(actor, event))


def _values(
    connection: Connection, cipher: FieldCipher, actor: Actor, rows: Sequence[Row]
) -> list[tuple[list[dict[str, Any]], str | None]]:
    """Per event: its changes with values, and its reason, as this reader sees them."""
    relation = role_relation(actor.role, in_team=True)  # of clinical readers, who see their own patients' events alone
    if relation not in SEES_REASON:
        return [(masked_changes(row), None) for row in rows]
    versions = _versions(connection, cipher, rows)
    reasons = grant_reasons(connection, rows)
    found = []
    for row in rows:
        key = (row["entity_type"], row["entity_id"])
        earlier, _ = versions.get((*key, row["from_version"]), ({}, None))
        later, reason = versions.get((*key, row["to_version"]), ({}, None))
        seen = [_seen(change, row["entity_type"], relation, earlier, later) for change in row["changes"] or ()]
        found.append((seen, reason if row["changes"] else reasons.get(row["basis_id"])))
    return found


def masked_changes(row: Row) -> list[dict[str, Any]]:
    """The names of the fields that an event changed, and no value."""
    return [_masked(change) for change in row["changes"] or ()]


def _masked(change: Mapping[str, Any]) -> dict[str, Any]:
    return {"field": change["field"], "before": None, "after": None}


def _seen(
    change: Mapping[str, Any], kind: str, relation: Relation, earlier: Mapping[str, Any], later: Mapping[str, Any]
) -> dict[str, Any]:
    """One changed field through the mask. The event holds digests; the values stand in the versions."""
    field = change["field"]
    seen = visibility(VERSIONED[kind][2], field, relation, restricted=True) if kind in VERSIONED else Visibility.HIDDEN
    if seen is Visibility.HIDDEN:
        return _masked(change)
    before, after = (
        None if change[side] is None else content.get(field)
        for side, content in (("before", earlier), ("after", later))
    )
    if seen is Visibility.PARTIAL:
        before, after = partial(field, before), partial(field, after)
    return {"field": field, "before": before, "after": after}


def _versions(
    connection: Connection, cipher: FieldCipher, rows: Sequence[Row]
) -> dict[tuple[str, uuid.UUID, int], tuple[dict[str, Any], str | None]]:
    """(kind, id, version) → (content in the clear, reason) of every version that the events speak of."""
    found = {}
    for kind, (table, column, _) in VERSIONED.items():
        wanted = [
            (row["entity_id"], version)
            for row in rows
            if row["entity_type"] == kind and row["changes"]
            for version in (row["from_version"], row["to_version"])
            if version is not None
        ]
        if not wanted:
            continue
        statement = f"""
            SELECT v.{column}, v.version, v.content, v.reason FROM {table} v
            JOIN unnest(%s::uuid[], %s::int[]) AS wanted (id, version)
            ON v.{column} = wanted.id AND v.version = wanted.version
        """
        for entity_id, version, content, reason in connection.execute(
            statement, ([each for each, _ in wanted], [number for _, number in wanted])
        ):
            clear = open_content(cipher, entity_id, content) if kind == "patient" else content
            found[kind, entity_id, version] = (clear, reason)
    return found


def grant_reasons(connection: Connection, rows: Sequence[Row]) -> dict[uuid.UUID, str]:
    """Break-glass grant → the reason that was given, of the grants that the events rest on."""
    grants = list({row["basis_id"] for row in rows if row["basis_id"] is not None})
    if not grants:
        return {}
    return dict(
        connection.execute("SELECT id, reason FROM break_glass_grants WHERE id = ANY (%s)", (grants,)).fetchall()
    )


def represent(row: Row, changes: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    """The event as CONTRACT has it; ``entityIds`` are what a list showed."""
    return {
        "id": str(row["id"]),
        "occurredAt": time_text(row["occurred_at"]),
        "action": row["action"],
        "actor": {"id": _text(row["actor_id"]), "role": row["actor_role"]},
        "entityType": row["entity_type"],
        "entityId": _text(row["entity_id"]),
        "entityIds": None if row["entity_ids"] is None else [str(each) for each in row["entity_ids"]],
        "patientId": _text(row["patient_id"]),
        "fromVersion": row["from_version"],
        "toVersion": row["to_version"],
        "changes": changes,
        "reason": reason,
        "metadata": {
            "ip": row["ip"],
            "userAgent": row["user_agent"],
            "requestId": row["request_id"],
            "tokenId": _text(row["token_id"]),
        },
        "outcome": row["outcome"],
        "sequence": row["sequence"],
        "hash": row["hash"].hex(),
    }


def _text(value: uuid.UUID | None) -> str | None:
    return None if value is None else str(value)
