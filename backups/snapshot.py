"""One moment of the database, which pg_dump, the counts of the manifest and its samples all see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from backups.errors import BackupFailed
from backups.samples import Digests, take_samples
from models.connection import connect
from services.audit_start import HOLD

# Whole tables: a partition is counted with its parent.
TABLES = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname
"""
# Row-level security without a policy for this role shows no rows and says nothing: neither the dump nor a count would
# tell that a table is missing in it.
UNSEEN = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relrowsecurity
        AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolbypassrls OR rolsuper))
        AND NOT EXISTS (
            SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
                AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                AND p.polroles && ARRAY[0, (SELECT oid FROM pg_roles WHERE rolname = current_user)]
        )
    ORDER BY c.relname
"""
# About as much as the dump will be: tables without their indexes.
SIZE = """
    SELECT coalesce(sum(pg_table_size(c.oid)), 0)::bigint FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
"""
HEAD = "SELECT sequence, hash FROM audit_trail ORDER BY sequence DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``id`` is what pg_dump takes; ``server`` as server_version_num has it; ``size`` bytes of its tables on its
    disk, ``room`` with indexes and all; ``head``: number and chain hash of the trail's newest event, (0, b"") without
    one."""

    id: str
    server: int
    revision: str
    size: int
    room: int
    head: tuple[int, bytes]
    connection: psycopg.Connection[Any]

    @property
    def major(self) -> int:
        return self.server // 10_000

    def counts(self) -> dict[str, int]:
        """Rows by table, in this moment. Only on the thread that opened it."""
        return count_rows(self.connection)

    def samples(self) -> Digests:
        """Digests of patients and records by chance, in this moment. Only on the thread that opened it."""
        return take_samples(self.connection)


@contextmanager
def snapshot(url: str) -> Iterator[Snapshot]:
    """Held until the block ends. ``url`` logs in as the role that may read everything. Raises BackupFailed when it may
    not."""
    with connect(url, application_name="sigilo backup") as connection:
        connection.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        connection.commit()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(HOLD)  # or a month that leaves the trail meanwhile is in no dump
        row = connection.execute(
            "SELECT pg_export_snapshot(), current_setting('server_version_num')::int,"
            f" (SELECT version_num FROM alembic_version), ({SIZE}), pg_database_size(current_database())"
        ).fetchone()
        assert row is not None  # noqa: S101
        unseen = [name for (name,) in connection.execute(UNSEEN).fetchall()]
        if unseen:
            raise BackupFailed(
                f"The backup role would not see every row of {', '.join(unseen)}: it needs a policy there."
            )
        head = connection.execute(HEAD).fetchone()
        snapshot_id, server, revision, size, room = row
        newest = (head[0], bytes(head[1])) if head else (0, b"")
        yield Snapshot(snapshot_id, server, revision, size, room, newest, connection)
        connection.rollback()


def count_rows(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Rows of every table that the connection's role sees, by name."""
    found = {}
    for (name,) in connection.execute(TABLES).fetchall():
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
        found[name] = row[0] if row else 0
    return found
