"""What has expired goes, in batches, and what has not stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import text

from config import Principal
from models import new_id
from models.engine import Databases
from models.import_job import PART_BYTES
from models.user import IMPORT_USER_ID
from services.cleanup_expired import RULES, Rule, delete_batch
from services.import_upload import file_parts
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
        [*["%s"] * len(values), *(f"now() - interval '{time.format(ago=ago)}'" for time in times.values())]
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
    "ai_requests": lambda c, ago: question(c, ago),  # noqa: PLW0108  (defined below)
    "identifier_lookups": lambda c, ago: insert(
        c, "identifier_lookups", {"id": new_id(), **USER}, ago, {"occurred_at": "{ago}"}
    ),
    "import_files": lambda c, ago: insert(
        c, "import_files", {"job_id": job(c, ago), "number": 1, "name": "a", "sha256": b"", "size": 1}, ago, {},
    ),
    "import_file_parts": lambda c, ago: part(c, ago),  # noqa: PLW0108  (defined below)
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


def question(connection: psycopg.Connection[Any], ago: str) -> None:
    """That nobody accepted the answer of, over since then."""
    patient_id = new_id()
    connection.execute(
        "INSERT INTO patients (id, full_name, sex, audit_key_cipher) VALUES (%s, 'Ana', 'FEMALE', %s)",
        [patient_id, bytes(61)],
    )
    values = {
        "id": new_id(), "use": "SUMMARY", "patient_id": patient_id, "requested_by": IMPORT_USER_ID,
        "acting_role": "DOCTOR", "state": "CANCELLED", "content_hash": bytes(32), "inputs": Jsonb([]),
        "prompt_version": "summary/1", "question_cipher": b"a", "answer_cipher": b"b",
    }  # fmt: skip
    insert(connection, "ai_requests", values, ago, {"finished_at": "{ago}", "expires_at": "{ago}"})


def part(connection: psycopg.Connection[Any], ago: str) -> None:
    """A part whose file is gone, or is kept when ``ago`` lies ahead."""
    number = job(connection, ago)
    file = {"job_id": number, "number": 1}
    if ago.startswith("-"):
        insert(connection, "import_files", {**file, "name": "a", "sha256": b"", "size": 1}, ago, {})
    insert(connection, "import_file_parts", {**file, "part": 0, "content": b"a"}, ago, {})


def count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_rows_are_kept_for_their_time_and_no_longer(
    connection: psycopg.Connection[Any], work_databases: Databases, rule: Rule
) -> None:
    """As the worker role, whose grants suffice for it."""
    seconds = rule.keep.total_seconds()
    for ago in (f"{seconds + 60:.0f} seconds", f"{seconds - 60:.0f} seconds"):
        ROWS[rule.table](connection, ago)
    with work_databases.session(Principal.WORKER) as session:
        assert delete_batch(session, rule) == 1
    assert count(connection, rule.table) == (2 if rule.forgets else 1)
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
        job_id = session.execute(text("SELECT id FROM import_jobs")).scalar_one()
        session.add_all(file_parts(job_id, 1, b"a" * (PART_BYTES + 1)))
        session.flush()
        assert delete_batch(session, by_table["import_jobs"]) == 0
        assert delete_batch(session, by_table["import_file_parts"]) == 0, "a file is whole or gone"
        assert delete_batch(session, by_table["import_files"]) == 1
        assert delete_batch(session, by_table["import_jobs"]) == 0
        assert delete_batch(session, by_table["import_file_parts"]) == 2
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


SLOW_DELETE = """
CREATE FUNCTION slow_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.03 * (SELECT count(*) FROM gone));
    RETURN NULL;
END $$;
CREATE TRIGGER slow_delete AFTER DELETE ON rate_limit_log REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION slow_delete()
"""


def test_a_batch_that_takes_too_long_is_ended_by_the_server_and_made_smaller(
    app: Any, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the server: here a row takes it 30 ms, and a batch has 80."""
    rule = Rule("rate_limit_log", "t.occurred_at < now() - :keep", timedelta(days=1), batch=8)
    monkeypatch.setattr("tasks.cleanup.RULES", [rule])
    for _ in range(5):
        ROWS["rate_limit_log"](connection, "2 days")
    connection.execute(SLOW_DELETE)
    try:
        assert app.tasks["cleanup.expired"]() == {"rate_limit_log": 5}
    finally:
        connection.execute("DROP FUNCTION slow_delete() CASCADE")
    assert count(connection, "rate_limit_log") == 0


def test_rows_that_somebody_holds_wait_for_the_next_run(
    app: Any, connection: psycopg.Connection[Any], superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [next(rule for rule in RULES if rule.table == table) for table in ("drafts", "rate_limit_log")]
    monkeypatch.setattr("tasks.cleanup.RULES", rules)
    for table in ("drafts", "rate_limit_log"):
        ROWS[table](connection, "31 days")
    with as_superuser(superuser) as other, other.transaction():
        other.execute("SELECT FROM drafts FOR UPDATE")
        assert app.tasks["cleanup.expired"]() == {"drafts": 0, "rate_limit_log": 1}
    assert app.tasks["cleanup.expired"]() == {"drafts": 1, "rate_limit_log": 0}


# Each DELETE as it is committed: its transaction, its table, and how many rows it took.
DELETED = """
CREATE TABLE deleted (transaction xid8, name text, count bigint);
CREATE FUNCTION note_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO deleted SELECT pg_current_xact_id(), TG_ARGV[0], count(*) FROM gone HAVING count(*) > 0;
    RETURN NULL;
END $$
"""
ON_DELETE = """
CREATE TRIGGER "note {name}" AFTER {act} ON {table} REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION note_deleted('{name}')
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
            act = "UPDATE" if rule.forgets else "DELETE"
            connection.execute(ON_DELETE.format(name=rule.name, act=act, table=rule.table))
            for _ in range(5):
                ROWS[rule.table](connection, f"{rule.keep.total_seconds() + 60:.0f} seconds")
        counts = app.tasks["cleanup.expired"]()
        batches = connection.execute("SELECT transaction, name, count FROM deleted").fetchall()
    finally:
        connection.execute("DROP FUNCTION note_deleted() CASCADE")
        connection.execute("DROP TABLE deleted")
    assert len({transaction for transaction, _, _ in batches}) == len(batches), "one batch, one transaction"
    for rule in rules:
        taken = [count for _, name, count in batches if name == rule.name]
        assert max(taken) <= 2 and sum(taken) == counts[rule.name] >= 5, rule.name
    assert list(counts) == [rule.name for rule in rules]


def test_what_each_rule_deleted_is_written_down(app: Any, connection: psycopg.Connection[Any]) -> None:
    for _ in range(3):
        ROWS["drafts"](connection, "1 minute")
    app.tasks["cleanup.expired"](slot="2026-11-24T12:17:00+00:00")
    row = connection.execute("SELECT rows, counts FROM job_runs").fetchone()
    assert row is not None
    assert (row[0], row[1]["drafts"], set(row[1])) == (3, 3, {rule.name for rule in RULES})
