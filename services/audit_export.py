"""Take the trail out of the system, for an auditor: CSV or JSON, with RFC 3339 times, ids and no value.

The export is an event, committed before its first byte leaves. What follows is read page by page up to the
event that was the newest at the beginning, so that memory stays flat and an export of hours never ends in itself.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
import psycopg

from config import PRODUCT_NAME, PRODUCT_VERSION, Principal
from models.engine import Databases
from observability.metrics import REVEALS
from services.actor import Actor
from services.audit_event import UNAUDITED, Event
from services.audit_read import TrailFilters, masked_changes, page, represent, write_event
from services.audit_scope import scope_of
from services.errors import Unavailable
from services.import_csv_rows import escaped
from services.permissions import Permission
from services.record_fields import time_text

PAGE_ROWS = 500
COLUMNS = (
    "sequence", "hash", "id", "occurredAt", "action", "outcome", "actorId", "actorRole", "entityType", "entityId",
    "entityIds", "patientId", "fromVersion", "toVersion", "changedFields", "ip", "userAgent", "requestId", "tokenId",
)  # fmt: skip


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class TrailExport:
    """``chunks`` are UTF-8; reading them reads the database, so each may raise Unavailable."""

    file_name: str
    media_type: str
    chunks: Iterator[bytes]


def export_trail(databases: Databases, actor: Actor, filters: TrailFilters, form: Format) -> TrailExport:
    """Everything that ``filters`` find, newest first. Raises Forbidden, Unavailable."""
    actor.require(Permission.TRAIL_EXPORT)
    event = Event("trail.export", "audit_event", filters.entity_id, patient_id=filters.patient_id)
    try:
        with databases.autocommit(Principal.AUDITOR) as connection, connection.transaction():
            head = connection.execute("SELECT max(sequence) FROM audit_trail").fetchone()
            write_event(connection, actor, event)
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    REVEALS.labels("export").inc()
    pages = _pages(databases, filters, ((head and head[0]) or 0) + 1)
    now = datetime.now(UTC)
    write, media_type = {Format.CSV: (_csv, "text/csv"), Format.JSON: (_json, "application/json")}[form]
    name = f"{PRODUCT_NAME.lower()}-{PRODUCT_VERSION}-trail-{now:%Y%m%dT%H%M%SZ}.{form}"
    return TrailExport(name, media_type, write(pages, filters, now))


def _pages(databases: Databases, filters: TrailFilters, before: int) -> Iterator[list[dict[str, Any]]]:
    """The events as an auditor sees them, at most ``PAGE_ROWS`` at a time; no connection is held in between."""
    while True:
        try:
            with databases.autocommit(Principal.AUDITOR) as connection:
                scope = None if filters.patient_id is None else scope_of(connection, [filters.patient_id])
                rows = page(connection, filters, scope, before=before, limit=PAGE_ROWS)
        except psycopg.Error as error:
            raise Unavailable(UNAUDITED) from error
        if rows:
            yield [represent(row, masked_changes(row), None) for row in rows]
        if len(rows) < PAGE_ROWS:
            return
        before = rows[-1]["sequence"]


def _json(pages: Iterator[list[dict[str, Any]]], filters: TrailFilters, now: datetime) -> Iterator[bytes]:
    """One object; ``count`` stands at its end, so a file that was cut off is no JSON."""
    narrowed = {name: value for name, value in asdict(filters).items() if value is not None}
    product = f"{PRODUCT_NAME} {PRODUCT_VERSION}"
    head = orjson.dumps({"product": product, "exportedAt": time_text(now), "filters": narrowed})
    yield head[:-1] + b',"events":[\n'
    count = 0
    for events in pages:
        yield (b",\n" if count else b"") + b",\n".join(orjson.dumps(event) for event in events)
        count += len(events)
    yield b'\n],"count":%d}\n' % count


def _csv(pages: Iterator[list[dict[str, Any]]], filters: TrailFilters, now: datetime) -> Iterator[bytes]:
    yield _lines([COLUMNS])
    for events in pages:
        yield _lines([[_cell(value) for value in _row(event)] for event in events])


def _row(event: dict[str, Any]) -> tuple[Any, ...]:
    actor, metadata = event["actor"], event["metadata"]
    return (
        event["sequence"], event["hash"], event["id"], event["occurredAt"], event["action"], event["outcome"],
        actor["id"], actor["role"], event["entityType"], event["entityId"], " ".join(event["entityIds"] or ()),
        event["patientId"], event["fromVersion"], event["toVersion"],
        " ".join(change["field"] for change in event["changes"]),
        metadata["ip"], metadata["userAgent"], metadata["requestId"], metadata["tokenId"],
    )  # fmt: skip


def _cell(value: Any) -> str:
    """A user agent is whatever its sender likes, so no cell may be a formula."""
    return "" if value is None else escaped(str(value))


def _lines(rows: list[Any]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()
