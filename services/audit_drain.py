"""Seal what waits in the outbox: number it, chain it, and move it into the trail, exactly once.

One statement deletes the events from the outbox and inserts them into the trail, so an event is in exactly
one of the two at every moment, whatever dies. PostgreSQL allows no unique event id across partitions by
time: that pairing is the de-duplication.

One drain at a time, by advisory lock: sequence and hash depend on the event before. Under that lock nobody
else deletes from the outbox and nobody at all may update it, so the rows need no locks of their own (and the
worker role, which may not update, could not take them). Oldest first is by id (UUIDv7); an event whose
transaction commits late is sealed late and never missed, because nothing is remembered between drains.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.advisory_locks import AUDIT_DRAIN
from models.engine import driver_connection
from services.audit_chain import GENESIS, ID, SEALED_AT, TEXT_SETTINGS, canonical, link, text_columns
from services.audit_event import EVENT_COLUMNS

BATCH = 2_000

HEAD = "SELECT clock_timestamp(), sequence, sealed_at, hash FROM (SELECT 1) one LEFT JOIN LATERAL "
HEAD += "(SELECT sequence, sealed_at, hash FROM audit_trail ORDER BY sequence DESC LIMIT 1) head ON TRUE"

TAKE = f"""
    SELECT o.ctid::text, {text_columns("o", sealed_at="''", sequence="''")}
    FROM audit_outbox o ORDER BY o.id LIMIT %s
"""

_COLUMNS = ", ".join(EVENT_COLUMNS)
SEAL = f"""
    WITH sealed AS (
        SELECT id, n, substring(%(hashes)s::bytea FROM (32 * (n - 1) + 1)::int FOR 32) AS hash
        FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS given (id, n)
    ), taken AS (
        DELETE FROM audit_outbox WHERE ctid = ANY (%(places)s::tid[]) RETURNING *
    )
    INSERT INTO audit_trail ({_COLUMNS}, sealed_at, sequence, hash)
    SELECT {_COLUMNS}, %(sealed_at)s::timestamptz, %(head)s::bigint + n, hash
    FROM taken JOIN sealed USING (id) ORDER BY n
"""


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain did. ``count`` 0: the outbox was empty, or ``is_busy``: another drain is at work."""

    count: int
    head: int | None = None  # sequence of the newest sealed event
    is_busy: bool = False


def drain(session: Session, *, limit: int = BATCH, now: datetime | None = None) -> Drained:
    """Seal at most ``limit`` events, oldest first, in ``session``'s transaction (as the worker).

    ``sealed_at`` is the database's clock (``now`` in tests), but never earlier than that of the event before,
    so that partitions don't interleave. Raises psycopg.Error and seals nothing when the database refuses.
    """
    with driver_connection(session).cursor() as cursor:
        return _drain(cursor, limit, now)


def ensure_partitions(session: Session, *, months: int = 3) -> int:
    """Make the trail's partitions of this month and the ``months`` after it, as far as they are missing.

    Making one waits for every reader of the trail, which a drain should not; gives how many there should be.
    """
    statement = "SELECT audit_trail_ensure_partition(now() + n * interval '1 month') FROM generate_series(0, :n) n"
    return len(session.execute(text(statement), {"n": months}).all())


def _drain(cursor: psycopg.Cursor[Any], limit: int, now: datetime | None) -> Drained:
    cursor.execute(TEXT_SETTINGS)
    # A statement of its own: the next one must see what the drain before committed.
    if not _one(cursor, "SELECT pg_try_advisory_xact_lock(%s)", (AUDIT_DRAIN,))[0]:
        return Drained(0, is_busy=True)
    rows = cursor.execute(TAKE, (limit,)).fetchall()
    if not rows:
        return Drained(0)
    clock, sequence, last_sealed_at, head_hash = _one(cursor, HEAD, ())
    sealed_at = max(now or clock, last_sealed_at or datetime.min.replace(tzinfo=UTC))
    if last_sealed_at is None or _month(sealed_at) != _month(last_sealed_at):
        cursor.execute("SELECT audit_trail_ensure_partition(%s)", (sealed_at,))
    first = (sequence or 0) + 1
    hashes = _chain(head_hash or GENESIS, rows, f"{sealed_at:%Y-%m-%d %H:%M:%S.%f}+00", first)
    cursor.execute(
        SEAL,
        {
            "places": _array(f'"{row[0]}"' for row in rows),
            "ids": _array(row[1 + ID] for row in rows),
            "hashes": hashes,
            "sealed_at": sealed_at,
            "head": first - 1,
        },
    )
    if cursor.rowcount != len(rows):
        raise RuntimeError(f"{len(rows)} events were read from the outbox but {cursor.rowcount} were there to seal")
    return Drained(len(rows), first - 1 + len(rows))


def _chain(previous: bytes, rows: list[tuple[str, ...]], sealed_at: str, first: int) -> bytes:
    """The hashes of ``rows`` one after the other, 32 bytes each."""
    hashes = bytearray()
    for sequence, row in enumerate(rows, first):
        event = (*row[1 : 1 + SEALED_AT], sealed_at, str(sequence), *row[3 + SEALED_AT :])
        previous = link(previous, canonical(event))
        hashes += previous
    return bytes(hashes)


def _one(cursor: psycopg.Cursor[Any], statement: str, parameters: tuple[Any, ...]) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = cursor.execute(statement, parameters).fetchone()
    assert row is not None  # noqa: S101  (these always give a row)
    return row


def _month(moment: datetime) -> tuple[int, int]:
    """The partition that ``moment`` belongs to."""
    moment = moment.astimezone(UTC)
    return moment.year, moment.month


def _array(items: Any) -> str:
    return "{" + ",".join(items) + "}"
