"""Stop a process of the installation at a point of its transaction, for as long as it takes to kill it there.

A trigger waits for a lock that the test holds. The process that it stops is not one of ours but PostgreSQL's, working
for a client that may be dead by the time the lock is released: as on any machine where a process is killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import psycopg

from embedded.process import wait_until

LOCK = 7_164_999
REACHED_SECONDS = 30.0

WAIT = f"""
CREATE OR REPLACE FUNCTION fault_barrier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW; END $$
"""
Point = Literal["row", "commit"]
TRIGGERS: dict[Point, str] = {
    # in the middle of the statement that writes
    "row": "CREATE TRIGGER fault_barrier AFTER INSERT ON {table} FOR EACH ROW {condition} {wait}",
    # when COMMIT is on its way, and its answer is not
    "commit": "CREATE CONSTRAINT TRIGGER fault_barrier AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW {condition} {wait}",
}
WAITING = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK} AND NOT granted"

Connection = psycopg.Connection[Any]


@contextmanager
def barrier(superuser: Connection, table: str, at: Point, condition: str = "") -> Iterator[None]:
    """Whoever inserts into ``table`` waits until the end of the block (or five seconds: the roles' lock time-out).

    ``superuser`` is in autocommit; ``condition`` is a WHEN clause of the trigger.
    """
    statement = TRIGGERS[at].format(table=table, condition=condition, wait="EXECUTE FUNCTION fault_barrier()")
    superuser.execute(WAIT)
    superuser.execute(f"SELECT pg_advisory_lock({LOCK})")
    superuser.execute(statement)
    try:
        yield
    finally:
        superuser.execute(f"SELECT pg_advisory_unlock({LOCK})")
        superuser.execute(f"DROP TRIGGER fault_barrier ON {table}")


def until_somebody_waits(superuser: Connection) -> None:
    def is_reached() -> bool:
        row = superuser.execute(WAITING).fetchone()
        return row is not None and row[0] > 0

    assert wait_until(is_reached, REACHED_SECONDS), "nobody came to the barrier"
