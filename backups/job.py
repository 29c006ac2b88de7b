"""The rows that backups and drills are: asked for, claimed, moved forward, ended.

One process at a time works on any of them: it holds an advisory lock on a connection of its own, so a killed one lets
go by itself, and whoever comes next knows that a row that still runs is dead.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from backups.errors import Busy
from backups.manifest import Manifest
from config import Principal, Settings
from models import new_id
from models.advisory_locks import BACKUPS
from models.connection import connect
from services.audit_event import SYSTEM, Event, Origin
from services.audit_read import write_event
from services.backup_request import INTERRUPTED

BUSY = "Another process makes a backup, drills one or restores at this moment: wait for it."
NOTE_SECONDS = 1.0  # between two notes of progress

Connection = psycopg.Connection[Any]
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A backup that this process makes."""

    id: uuid.UUID
    origin: str
    requested_by: uuid.UUID | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Dead:
    """A row that a killed process left. ``name`` None: it had written nothing."""

    id: uuid.UUID
    name: str | None
    store: str | None


@contextmanager
def exclusive(settings: Settings, *, patience: int = 0) -> Iterator[Connection]:
    """A connection as the worker, in autocommit, that holds the lock; waits ``patience`` seconds for it. Raises
    Busy."""
    with connect(
        settings.url_anew(Principal.WORKER), autocommit=True, application_name="sigilo backup"
    ) as connection:
        if connection.execute("SELECT pg_try_advisory_lock(%s)", [BACKUPS]).fetchone() != (True,):
            _wait(connection, patience)
        connection.execute("SET lock_timeout = '10s'; SET TimeZone = 'UTC'")
        yield connection


def _wait(connection: Connection, patience: int) -> None:
    if not patience:
        raise Busy(BUSY)
    connection.execute(f"SET lock_timeout = '{int(patience)}s'; SET statement_timeout = 0")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [BACKUPS])
    except psycopg.errors.LockNotAvailable:
        raise Busy(BUSY) from None


def request(connection: Connection, origin: str) -> uuid.UUID | None:
    """A row that waits; None where one waits already."""
    row = connection.execute(
        "INSERT INTO backups (id, origin) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING id", [new_id(), origin]
    ).fetchone()
    return row[0] if row else None


def bury_dead(connection: Connection) -> list[Dead]:
    """End what still runs though nobody works on it, and have an interrupted backup made again, once."""
    with connection.transaction():
        connection.execute(
            "UPDATE backup_drills SET state = 'FAILED', failure = %s, finished_at = now() WHERE state = 'RUNNING'",
            [INTERRUPTED],
        )
        rows = connection.execute(
            "UPDATE backups SET state = 'FAILED', failure = %s, finished_at = now() WHERE state = 'RUNNING'"
            " RETURNING id, name, store, origin, requested_by",
            [INTERRUPTED],
        ).fetchall()
        for backup_id, _, _, origin, requested_by in rows:
            _event(connection, "backup.create", backup_id, requested_by, failed=True)
            if origin != "AGAIN":
                request(connection, "AGAIN")
    return [Dead(row[0], row[1], row[2]) for row in rows]


def claim(connection: Connection, store: str) -> Claimed | None:
    """The backup that waits, begun; None when none does."""
    row = connection.execute(
        "UPDATE backups SET state = 'RUNNING', started_at = now(), heartbeat_at = now(), store = %s"
        " WHERE state = 'PENDING' RETURNING id, origin, requested_by, started_at",
        [store],
    ).fetchone()
    return Claimed(*row) if row else None


class Progressing:
    """Notes how far a row is, at most once a second, and tells whoever watches."""

    def __init__(self, connection: Connection, table: str, row_id: uuid.UUID, watcher: Progress) -> None:
        self._connection = connection
        self._table = table
        self._id = row_id
        self._watcher = watcher
        self._noted = 0.0
        self._stage = ""

    def stage(self, name: str, total: int | None = None) -> None:
        self._stage = name
        self._note(0, total)

    def __call__(self, done: int, total: int | None) -> None:
        if monotonic() - self._noted >= NOTE_SECONDS:
            self._note(done, total)

    def _note(self, done: int, total: int | None) -> None:
        self._noted = monotonic()
        self._connection.execute(
            f"UPDATE {self._table} SET stage = %s, done = %s, total = coalesce(%s, total), heartbeat_at = now()"
            " WHERE id = %s",
            [self._stage, done, total, self._id],
        )
        self._watcher(done, total)


def name_backup(connection: Connection, backup_id: uuid.UUID, name: str) -> None:
    """Before the first byte is written under that name: what a kill leaves is found by it."""
    connection.execute("UPDATE backups SET name = %s WHERE id = %s", [name, backup_id])


def finish(
    connection: Connection, claimed: Claimed, manifest: Manifest, note: str, locked_until: datetime | None
) -> None:
    """``locked_until``: until when its store deletes no part; None where it has no locks."""
    with connection.transaction():
        connection.execute(
            "UPDATE backups SET state = 'DONE', stage = NULL, manifest = %s, size = %s, done = %s, total = %s,"
            " locked_until = %s, finished_at = now() WHERE id = %s",
            [
                note, manifest.size, manifest.database.contains, manifest.database.contains, locked_until, claimed.id,
            ],
        )
        _event(connection, "backup.create", claimed.id, claimed.requested_by)


def fail(connection: Connection, claimed: Claimed, failure: str) -> None:
    with connection.transaction():
        connection.execute(
            "UPDATE backups SET state = 'FAILED', failure = %s, finished_at = now() WHERE id = %s",
            [failure, claimed.id],
        )
        _event(connection, "backup.create", claimed.id, claimed.requested_by, failed=True)


def begin_drill(connection: Connection, backup_id: uuid.UUID) -> uuid.UUID:
    drill_id = new_id()
    connection.execute("INSERT INTO backup_drills (id, backup_id) VALUES (%s, %s)", [drill_id, backup_id])
    return drill_id


def end_drill(
    connection: Connection,
    drill_id: uuid.UUID,
    backup_id: uuid.UUID,
    *,
    failure: str | None,
    is_damaged: bool,
    seconds: Mapping[str, float],
    trail_problems: int = 0,
    checks: dict[str, Any],
) -> None:
    """How it went. ``seconds``: ``fetch``, ``load`` and ``check``, of those that were reached; all three together are
    what a restore takes. The backup is verified by it, or no longer where it ``is_damaged``; a drill that could not be
    made leaves a backup what it was, and is made again: what is not verified is deleted in its turn."""
    with connection.transaction():
        connection.execute(
            "UPDATE backup_drills SET state = %s, failure = %s, is_damaged = %s, restore_seconds = %s,"
            " fetch_seconds = %s, check_seconds = %s, trail_problems = %s, checks = %s, stage = NULL,"
            " finished_at = now() WHERE id = %s",
            [
                "PASSED" if failure is None else "FAILED", failure, is_damaged,
                sum(seconds.values()) if "check" in seconds else None, seconds.get("fetch"), seconds.get("check"),
                trail_problems, Jsonb(checks),
                drill_id,
            ],
        )
        if failure is None or is_damaged:
            verified = ("VERIFIED", "now()") if failure is None else ("DONE", "NULL")
            connection.execute(
                f"UPDATE backups SET state = '{verified[0]}', verified_at = {verified[1]}"
                " WHERE id = %s AND state IN ('DONE', 'VERIFIED')",
                [backup_id],
            )
        _event(connection, "backup.drill", backup_id, None, failed=failure is not None)


def adopt(connection: Connection, manifest: Manifest, note: str, store: str, name: str) -> None:
    """A row for what the store has and the table does not know as stored: of the time after a backup that was restored,
    or that backup itself, which ran when it saw its own row."""
    connection.execute(
        "INSERT INTO backups (id, state, origin, created_at, started_at, finished_at, store, name, size, manifest,"
        " done) VALUES (%(id)s, 'DONE', 'FOUND', %(started)s, %(started)s, %(finished)s, %(store)s, %(name)s, %(size)s,"
        " %(note)s, %(done)s)"
        " ON CONFLICT (id) DO UPDATE SET state = 'DONE', failure = NULL, stage = NULL, finished_at = %(finished)s,"
        " store = %(store)s, name = %(name)s, size = %(size)s, manifest = %(note)s, pruned_at = NULL"
        " WHERE backups.state NOT IN ('DONE', 'VERIFIED')",
        {
            "id": manifest.id, "started": manifest.started_at, "finished": manifest.finished_at, "store": store,
            "name": name, "size": manifest.size, "note": note, "done": manifest.database.contains,
        },
    )  # fmt: skip


def note_event(connection: Connection, action: str, backup_id: uuid.UUID, *, failed: bool = False) -> None:
    _event(connection, action, backup_id, None, failed=failed)


def _event(
    connection: Connection, action: str, backup_id: uuid.UUID, user_id: uuid.UUID | None, *, failed: bool = False
) -> None:
    event = Event(action, "backup", backup_id, outcome="failure" if failed else "success")
    write_event(connection, Origin(user_id, "SYSTEM") if user_id else SYSTEM, event)
