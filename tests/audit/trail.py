"""Events to seal, and a superuser's hands on the trail."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from psycopg.types.string import TextLoader

from config import Principal
from models import new_id
from models.engine import Databases
from services.audit_drain import BATCH, drain
from services.audit_event import EVENT_COLUMNS, SYSTEM, Event, Origin, event_row

LONG_AGO = [datetime(2019, month, 5, 12, tzinfo=UTC) for month in (3, 4)]
MONTH = """
    CREATE TABLE IF NOT EXISTS audit_trail_p{0:%Y%m} PARTITION OF audit_trail
    FOR VALUES FROM ('{0:%Y-%m}-01T00:00Z') TO ('{1:%Y-%m}-01T00:00Z');
    ALTER TABLE audit_trail_p{0:%Y%m} OWNER TO sigilo_migrator;
    GRANT SELECT ON audit_trail_p{0:%Y%m} TO sigilo_backup
"""
# No drain of today makes partitions of years ago, so they are made by hand.
NO_OTHER = """
    CREATE OR REPLACE FUNCTION audit_trail_ensure_partition(moment timestamptz) RETURNS text
    LANGUAGE sql SET search_path = pg_catalog AS $$ SELECT 'audit_trail_p' || to_char(moment, 'YYYYMM') $$
"""


def write_events(databases: Databases, count: int, **values: Any) -> list[uuid.UUID]:
    """Commit ``count`` varied events to the outbox as staff; gives their ids, oldest first."""
    rows = [event_row(varied_event(number), varied_origin(number)) | values for number in range(count)]
    insert_rows(databases, rows)
    return [row["id"] for row in rows]


def insert_rows(databases: Databases, rows: list[dict[str, Any]]) -> None:
    placeholders = ", ".join(["%s"] * len(EVENT_COLUMNS))
    statement = f"INSERT INTO audit_outbox ({', '.join(EVENT_COLUMNS)}) VALUES ({placeholders})"
    with databases.autocommit(Principal.STAFF) as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(statement, [[_bound(row, name) for name in EVENT_COLUMNS] for row in rows])


def _bound(row: dict[str, Any], name: str) -> Any:
    return Jsonb(row[name]) if name == "changes" and row[name] is not None else row[name]


def varied_event(number: int) -> Event:
    """Events of every shape that occurs: a read, a list, an update with digests, a refusal."""
    record, patient = new_id(), new_id()
    shapes = (
        Event("medical_record.read", "medical_record", record, patient_id=patient, basis="care-team"),
        Event("medical_record.list", "medical_record", entity_ids=tuple(new_id() for _ in range(number % 5))),
        Event(
            "medical_record.update", "medical_record", record, patient_id=patient, from_version=1, to_version=2,
            changes=({"field": "notes", "before": None, "after": "c2"}, {"field": "CÉU", "before": "a", "after": ""}),
        ),
        Event("session.login", outcome="failure"),
    )  # fmt: skip
    return shapes[number % len(shapes)]


def varied_origin(number: int) -> Origin:
    if number % 3 == 0:
        return SYSTEM
    address = random.choice(("203.0.113.7", "2001:db8::1", "198.51.100.0/24"))
    return Origin(new_id(), "DOCTOR", address, f'Agente "{number}" \\ \t ção', str(number), new_id(), new_id())


def drain_all(databases: Databases, limit: int = BATCH) -> int:
    """Seal everything that waits; gives how many events that was."""
    total = 0
    while True:
        with databases.session(Principal.WORKER) as session:
            drained = drain(session, limit=limit)
        if drained.count == 0:
            return total
        total += drained.count


@contextmanager
def as_superuser(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        yield connection


def sealed(url: str) -> list[dict[str, Any]]:
    """The whole trail in the order of its sequence, with client types; addresses as PostgreSQL writes them."""
    with as_superuser(url) as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        cursor.adapters.register_loader("inet", TextLoader)
        return cursor.execute("SELECT * FROM audit_trail ORDER BY sequence").fetchall()


def write_old_events(databases: Databases, superuser: str, counts: Sequence[int]) -> None:
    """So many events sealed in each month of ``LONG_AGO``, in an emptied trail."""
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE audit_archives")
        connection.execute(NO_OTHER)
        for moment in LONG_AGO:
            connection.execute(MONTH.format(moment, moment + timedelta(days=31)))
    for moment, count in zip(LONG_AGO, counts, strict=True):
        write_events(databases, count)
        with databases.session(Principal.WORKER) as session:
            assert drain(session, now=moment).count == count
