"""List and search medical records: one statement that finds the page, masks it, and writes the read's event."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from models.engine import Databases
from models.user import Role
from services import cursor as cursors
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.masking import Visibility, role_relation, visibility
from services.permissions import Permission
from services.record_sql import in_utc, inside, represented, sees_caption

LIMIT_MAX = 100


@dataclass(frozen=True, slots=True)
class RecordFilters:
    """What a list is narrowed to. ``start`` and ``end`` bound occurredAt, both included."""

    patient_id: uuid.UUID | None = None
    amends_id: uuid.UUID | None = None  # addenda to one record
    priority: str | None = None
    kind: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    include_deleted: bool = False
    q: str | None = None  # words to search for; set by search only

    def plain(self) -> dict[str, Any]:
        """Name → value, for the cursor that is bound to them."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class JsonPage:
    """One page whose rows PostgreSQL already wrote as JSON."""

    data: bytes  # a JSON array
    next_cursor: str | None


def list_records(
    databases: Databases,
    actor: Actor,
    filters: RecordFilters,
    *,
    limit: int = 20,
    cursor: str | None = None,
    action: str = "medical_record.list",
) -> JsonPage:
    """Records newest first by occurredAt. ``action``: what the trail calls it, where more is done than listing.
    Raises Forbidden, Invalid (cursor), Unavailable."""
    actor.require(Permission.RECORD_READ)
    plain = filters.plain()
    parameters = _parameters(actor, filters, limit, action)
    if cursor is not None:
        parameters["after"], parameters["after_id"] = cursors.decode(plain, cursor, datetime, uuid.UUID)
    shape = (actor.role, _present(filters), filters.include_deleted, cursor is not None)
    row = read(databases, actor, _list_statement(*shape), parameters)
    return _page(row, plain)


def search_records(
    databases: Databases, actor: Actor, filters: RecordFilters, *, limit: int = 20, cursor: str | None = None
) -> JsonPage:
    """Records that match ``filters.q`` by rank. A reader searches only what they would see: the whole record
    inside the care team, its title outside, nothing where titles are masked."""
    actor.require(Permission.RECORD_READ)
    plain = filters.plain()
    parameters = _parameters(actor, filters, limit, "medical_record.search") | {"q": filters.q}
    if cursor is not None:
        parameters["after"], parameters["after_id"] = cursors.decode(plain, cursor, float, uuid.UUID)
    shape = (actor.role, _present(filters), filters.include_deleted, cursor is not None)
    row = read(databases, actor, _search_statement(*shape), parameters)
    return _page(row, plain)


def _page(row: dict[str, Any] | None, filters: dict[str, Any]) -> JsonPage:
    if row is None or row["data"] is None:
        return JsonPage(b"[]", None)
    following = cursors.encode(filters, row["last_key"], row["last_id"]) if row["has_more"] else None
    return JsonPage(in_utc(row["data"]), following)


def _present(filters: RecordFilters) -> tuple[str, ...]:
    names = ("patient_id", "amends_id", "priority", "kind", "start", "end")
    return tuple(name for name in names if getattr(filters, name) is not None)


def _parameters(actor: Actor, filters: RecordFilters, limit: int, action: str) -> dict[str, Any]:
    event = Event(action=action, entity_type="medical_record", patient_id=filters.patient_id)
    return {
        "me": actor.user_id,
        "role": actor.role.value,
        "limit": limit,
        "patient": filters.patient_id,
        "amends": filters.amends_id,
        "priority": filters.priority,
        "kind": filters.kind,
        "start": filters.start,
        "end": filters.end,
        **event_parameters(actor, event),
    }


CONDITIONS = {
    "patient_id": "r.patient_id = %(patient)s",
    "amends_id": "r.amends_id = %(amends)s",
    "kind": "r.kind = %(kind)s",
    "start": "r.occurred_at >= %(start)s",
    "end": "r.occurred_at <= %(end)s",
}


def _conditions(role: Role, present: tuple[str, ...], include_deleted: bool) -> list[str]:
    """Conditions that need no mask. An inactive record shows only to those inside who ask for it."""
    conditions = [CONDITIONS[name] for name in present if name in CONDITIONS]
    if not (include_deleted and role.is_clinical):
        conditions.append("r.deleted_at IS NULL")
    return conditions


def _masked_conditions(role: Role, present: tuple[str, ...], include_deleted: bool) -> list[str]:
    """Conditions that depend on what the reader sees of the row (``r.inside``)."""
    conditions = []
    if "priority" in present:
        conditions.append(f"(r.priority = %(priority)s AND {sees_caption(role)})")
    if include_deleted and role.is_clinical:
        conditions.append("(r.deleted_at IS NULL OR r.inside)")
    return conditions


def _where(conditions: list[str]) -> str:
    return "WHERE " + " AND ".join(conditions) if conditions else ""


COLUMNS = ", ".join(
    f"r.{name}"
    for name in (
        "id", "patient_id", "author_id", "visit_id", "amends_id", "kind", "title", "diagnosis", "treatment", "notes",
        "cid10_codes", "priority", "restricted", "occurred_at", "closes_at", "version", "created_at", "updated_at",
        "deleted_at",
    )
)  # fmt: skip


def _answer(role: Role, page: str, key: str) -> str:
    """SQL after ``WITH``: the rows of ``page`` (records with ``inside`` and the sort ``key``, one more than the page
    has room for) as JSON, the event that names what is shown, and the key to go on from.

    Rows become JSON first and at once, and the page one row of arrays: whatever else is asked of it is cut from these,
    and costs no further scan and no sort.
    """
    last = "least(cardinality(p.ids), %(limit)s)"
    return f"""
        found AS MATERIALIZED (
            SELECT coalesce(array_agg(f.id), '{{}}') AS ids, array_agg(f.key) AS keys, array_agg(f.data::text) AS rows
            FROM (
                SELECT s.id, s.{key} AS key, row_to_json(v) AS data FROM {page} s {represented(role)}
                ORDER BY s.{key} DESC, s.id DESC
            ) f
        ), event AS (
            {event_insert("FROM found p", entity_ids="p.ids[:%(limit)s]")}
        )
        SELECT
            ('[' || array_to_string(p.rows[:%(limit)s], ',') || ']')::bpchar AS data,
            cardinality(p.ids) > %(limit)s AS has_more,
            p.keys[{last}] AS last_key, p.ids[{last}] AS last_id
        FROM found p
    """


@lru_cache(maxsize=256)
def _list_statement(role: Role, present: tuple[str, ...], include_deleted: bool, continued: bool) -> str:
    conditions = _conditions(role, present, include_deleted)
    if continued:
        conditions.append("(r.occurred_at, r.id) < (%(after)s, %(after_id)s)")
    masked = _masked_conditions(role, present, include_deleted)
    source, is_inside = f"medical_records r {_where([*conditions, *masked])}", inside(role)
    if masked and role.is_clinical:
        # A filter depends on what the reader sees of each row, so that is worked out before the page is cut.
        source = (
            f"(SELECT {COLUMNS}, {is_inside} AS inside FROM medical_records r {_where(conditions)}) r {_where(masked)}"
        )
        is_inside = "r.inside"
    # The limit also keeps the planner from working ``inside`` out again for every masked field.
    page = f"""(
            SELECT {COLUMNS}, {is_inside} AS inside FROM {source}
            ORDER BY r.occurred_at DESC, r.id DESC LIMIT %(limit)s + 1
        )"""
    return f"WITH {_answer(role, page, 'occurred_at')}"


# What matches the title need not match the whole: "headache -aspirin" finds by what a text does not say. So no
# condition on the whole may narrow what is found from outside, or the rows left out would tell what it says.
OUTSIDE_TOO = "(r.search_all @@ words.q OR r.search_title @@ words.q)"


def _searchable(role: Role) -> tuple[str, str]:
    """(condition, rank) over rows with ``inside`` and the query ``words.q``; "FALSE" where titles are masked."""
    if role.is_clinical:
        return (
            "CASE WHEN r.inside THEN r.search_all @@ words.q ELSE NOT r.restricted AND r.search_title @@ words.q END",
            "CASE WHEN r.inside THEN ts_rank(r.search_all, words.q) ELSE ts_rank(r.search_title, words.q) END",
        )
    if visibility("record", "diagnosis", role_relation(role, in_team=False)) is Visibility.CLEAR:
        return "r.search_all @@ words.q", "ts_rank(r.search_all, words.q)"
    return "FALSE", "0"


@lru_cache(maxsize=256)
def _search_statement(role: Role, present: tuple[str, ...], include_deleted: bool, continued: bool) -> str:
    condition, rank = _searchable(role)
    matches = OUTSIDE_TOO if role.is_clinical else "r.search_all @@ words.q"
    conditions = _conditions(role, present, include_deleted)
    masked = _masked_conditions(role, present, include_deleted)
    after = "WHERE (f.rank, f.id) < (%(after)s::float8, %(after_id)s)" if continued else ""
    return f"""
        WITH words AS (
            SELECT websearch_to_tsquery('portuguese', sigilo_fold(%(q)s)) AS q
        ), candidates AS (
            SELECT r.id, r.restricted, r.priority, r.deleted_at, r.search_all, r.search_title,
                {inside(role, setwise=True)} AS inside
            FROM medical_records r, words
            {_where([*conditions, matches])}
        ), ranked AS (
            SELECT r.id, ({rank})::float8 AS rank
            FROM candidates r, words
            {_where([condition, *masked])}
        ), best AS (
            SELECT f.id, f.rank FROM ranked f {after}
            ORDER BY f.rank DESC, f.id DESC LIMIT %(limit)s + 1
        ), page AS MATERIALIZED (
            SELECT {COLUMNS}, b.rank, {inside(role)} AS inside FROM best b JOIN medical_records r ON r.id = b.id
        ), {_answer(role, "page", "rank")}
    """
