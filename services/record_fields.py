"""A record's fields: their API names, their columns, and their SQL in a representation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from models import MedicalRecord

# API name → attribute of MedicalRecord. These are what a version keeps and what a writer may set.
CONTENT = {
    "kind": "kind",
    "title": "title",
    "diagnosis": "diagnosis",
    "treatment": "treatment",
    "notes": "notes",
    "cid10Codes": "cid10_codes",
    "priority": "priority",
    "restricted": "restricted",
    "occurredAt": "occurred_at",
}


def sql_time(column: str) -> str:
    """SQL: a time as RFC 3339 in UTC, with microseconds and Z."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def time_text(value: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds and Z: ``2026-11-24T10:42:00.000000Z``."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def sql_status(alias: str) -> str:
    return f"CASE WHEN {alias}.closes_at <= now() THEN 'CLOSED' ELSE 'OPEN' END"


def status_of(record: MedicalRecord, now: datetime) -> str:
    """OPEN until the author closes it or 24 hours have passed, then CLOSED."""
    return "CLOSED" if record.closes_at <= now else "OPEN"


def content_of(record: MedicalRecord) -> dict[str, Any]:
    """The record's full content, as its version rows keep it: plain JSON types."""
    content = {name: getattr(record, attribute) for name, attribute in CONTENT.items()}
    content["occurredAt"] = time_text(record.occurred_at)
    content["cid10Codes"] = list(record.cid10_codes)
    content["closesAt"] = time_text(record.closes_at)
    content["deletedAt"] = time_text(record.deleted_at)
    return content
