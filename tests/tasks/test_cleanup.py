"""What has expired goes, in batches, and what has not stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from config import Principal
from models import new_id
from models.engine import Databases
from models.user import IMPORT_USER_ID
from services.cleanup_expired import RULES, Rule, delete_batch
from tests.audit.trail import as_superuser
from tests.tasks.test_base import app

__all__ = ["app"]

pytestmark = pytest.mark.database
Insert = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def connection(superuser: str) -> Any:
    with as_superuser(superuser) as opened:
        for table in ("import_files", "import_rejects", *(rule.table for rule in RULES)):
            opened.execute(f"TRUNCATE {table} CASCADE")
        yield opened


def insert(
    connection: psycopg.Connection[Any], table: str, values: dict[str, Any], ago: str, times: dict[str, str]
) -> None:
    """Insert ``values``, and ``times``: column → an interval before now, where ``ago`` is filled in."""
    columns = ", ".join((*values, *times))
    places = ", ".join(
        [*["%s"] * len(values), *(f"now() - interval '{text.format(ago=ago)}'" for text in times.values())]
    )
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(values.values()))


USER = {"user_id": IMPORT_USER_ID}
ROWS: dict[str, Callable[[psycopg.Connection[Any], str], None]] = {
    "sessions": lambda c, ago: insert(
        c, "sessions", {"id": new_id(), "secret_hash": new_id().bytes * 2, "acting_role": "DOCTOR", **USER}, ago,
        {"expires_at": "{ago}"},
    ),
    "login_failures": lambda c, ago: insert(
        c, "login_failures", {"kind": "ip", "key": new_id().hex, "failures": 1}, ago, {"window_started_at": "{ago}"}
    ),
    "idempotency_keys": lambda c, ago: insert(
        c, "idempotency_keys",
        {"key": new_id().hex, "request_digest": b"", "entity_type": "a", "entity_id": new_id(), **USER}, ago,
        {"expires_at": "{ago}"},
    ),
    "drafts": lambda c, ago: insert(
        c, "drafts", {"id": new_id(), "content": "{}", **USER}, ago, {"expires_at": "{ago}"}
    ),
    "rate_limit_log": lambda c, ago: insert(
        c, "rate_limit_log", {"id": new_id(), "bucket": "api", "outcome": "refused", "quota": "1/day"}, ago,
        {"occurred_at": "{ago}"},
    ),
    "identifier_lookups": lambda c, ago: insert(
        c, "identifier_lookups", {"id": new_id(), **USER}, ago, {"occurred_at": "{ago}"}
    ),
    "import_files": lambda c, ago: insert(
        c, "import_files", {"job_id": job(c, ago), "number": 1, "name": "a", "sha256": b"", "size": 1, "content": b"a"},
        ago, {},
    ),
    "import_rejects": lambda c, ago: insert(
        c, "import_rejects",
        {"id": new_id(), "job_id": job(c, ago), "file": "a", "line": 1, "pointer": "", "reason": "a"}, ago, {},
    ),
    "import_jobs": lambda c, ago: job(c, ago) and None,
    "password_links": lambda c, ago: insert(
        c, "password_links", {"id": new_id(), "kind": "reset", **USER}, ago, {"used_at": "{ago}"}
    ),
    "dead_letters": lambda c, ago: insert(
        c, "dead_letters",
        {"id": new_id(), "task": new_id().hex, "queue": "a", "arguments": "{}", "error": "A", "task_id": "a",
         "attempts": 1},
        ago, {"resolved_at": "{ago}"},
    ),
    "job_runs": lambda c, ago: insert(
        c, "job_runs", {"job": new_id().hex}, ago, {"slot": "{ago}", "started_at": "{ago}"}
    ),
}  # fmt: skip


def job(connection: psycopg.Connection[Any], ago: str) -> Any:
    number = new_id()
    insert(
        connection, "import_jobs", {"id": number, "state": "DONE", "format": "csv", "source_digest": b""}, ago,
        {"finished_at": "{ago}"},
    )  # fmt: skip
    return number


def count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("rule", RULES, ids=[rule.table for rule in RULES])
def test_rows_are_kept_for_their_time_and_no_longer(
    connection: psycopg.Connection[Any], work_databases: Databases, rule: Rule
) -> None:
    """As the worker role, whose grants suffice for it."""
    seconds = rule.keep.total_seconds()
    for ago in (f"{seconds + 60:.0f} seconds", f"{seconds - 60:.0f} seconds"):
        ROWS[rule.table](connection, ago)
    with work_databases.session(Principal.WORKER) as session:
        assert delete_batch(session, rule) == 1
    assert count(connection, rule.table) == 1
    with work_databases.session(Principal.WORKER) as session:
        assert delete_batch(session, rule) == 0


def test_a_batch_has_its_limit(connection: psycopg.Connection[Any], work_databases: Databases) -> None:
    rule = Rule("rate_limit_log", "t.occurred_at < now() - :keep", timedelta(days=1), batch=3)
    for _ in range(5):
        ROWS["rate_limit_log"](connection, "2 days")
    with work_databases.session(Principal.WORKER) as session:
        assert [delete_batch(session, rule) for _ in range(3)] == [3, 2, 0]


def test_a_job_stays_while_something_of_it_is_kept(
    connection: psycopg.Connection[Any], work_databases: Databases
) -> None:
    ROWS["import_files"](connection, "91 days")
    by_table = {rule.table: rule for rule in RULES}
    with work_databases.session(Principal.WORKER) as session:
        assert delete_batch(session, by_table["import_jobs"]) == 0
        assert delete_batch(session, by_table["import_files"]) == 1
        assert delete_batch(session, by_table["import_jobs"]) == 1


def test_an_import_that_has_not_ended_keeps_its_file(
    connection: psycopg.Connection[Any], work_databases: Databases
) -> None:
    ROWS["import_files"](connection, "30 days")
    connection.execute("UPDATE import_jobs SET state = 'RUNNING', finished_at = NULL")
    by_table = {rule.table: rule for rule in RULES}
    with work_databases.session(Principal.WORKER) as session:
        assert delete_batch(session, by_table["import_files"]) == 0


def test_failed_work_that_is_open_stays(connection: psycopg.Connection[Any], work_databases: Databases) -> None:
    ROWS["dead_letters"](connection, "91 days")
    connection.execute("UPDATE dead_letters SET resolved_at = NULL")
    rule = next(rule for rule in RULES if rule.table == "dead_letters")
    with work_databases.session(Principal.WORKER) as session:
        assert delete_batch(session, rule) == 0


# Each DELETE as it is committed: its transaction, its table, and how many rows it took.
DELETED = """
CREATE TABLE deleted (transaction xid8, name text, count bigint);
CREATE FUNCTION note_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO deleted SELECT pg_current_xact_id(), TG_TABLE_NAME, count(*) FROM gone HAVING count(*) > 0;
    RETURN NULL;
END $$
"""
ON_DELETE = """
CREATE TRIGGER note_deleted AFTER DELETE ON {} REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION note_deleted()
"""


def test_every_batch_is_bounded_and_a_transaction_of_its_own(
    app: Any, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a lock is held for one batch and never for a table's worth: between two the rows are anybody's."""
    rules = [replace(rule, batch=2) for rule in RULES]
    monkeypatch.setattr("tasks.cleanup.RULES", rules)
    connection.execute(DELETED)
    try:
        for rule in rules:
            connection.execute(ON_DELETE.format(rule.table))
            for _ in range(5):
                ROWS[rule.table](connection, f"{rule.keep.total_seconds() + 60:.0f} seconds")
        counts = app.tasks["cleanup.expired"]()
        batches = connection.execute("SELECT transaction, name, count FROM deleted").fetchall()
    finally:
        connection.execute("DROP FUNCTION note_deleted() CASCADE")
        connection.execute("DROP TABLE deleted")
    assert len({transaction for transaction, _, _ in batches}) == len(batches), "one batch, one transaction"
    for rule in rules:
        taken = [count for _, name, count in batches if name == rule.table]
        assert max(taken) <= 2 and sum(taken) == counts[rule.table] >= 5, rule.table
    assert list(counts) == [rule.table for rule in rules]


def test_what_each_rule_deleted_is_written_down(app: Any, connection: psycopg.Connection[Any]) -> None:
    for _ in range(3):
        ROWS["drafts"](connection, "1 minute")
    app.tasks["cleanup.expired"](slot="2026-11-24T12:17:00+00:00")
    row = connection.execute("SELECT rows, counts FROM job_runs").fetchone()
    assert row is not None
    assert (row[0], row[1]["drafts"], set(row[1])) == (3, 3, {rule.table for rule in RULES})
