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
    """SQL text: a time as ``time_text`` writes it."""
    return f"overlay(({column} AT TIME ZONE 'UTC')::text || 'Z' PLACING 'T' FROM 11)"


def time_text(value: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the microsecond and without trailing zeros: ``2026-11-24T10:42:00.25Z``."""
    if value is None:
        return None
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


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
