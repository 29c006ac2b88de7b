"""What has expired goes, in batches, and what has not stays."""

from __future__ import annotations

from collections.abc import Callable
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
