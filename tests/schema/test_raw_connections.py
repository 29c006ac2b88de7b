"""Connections for raw reads: what is kept between uses, and that their short way answers as a cursor does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus

from config import Principal
from models import raw_connection
from models.engine import Databases, make_connect
from models.raw_connection import RawConnection
from models.raw_connections import RawConnections
from tests.servers import DatabaseServer

pytestmark = pytest.mark.database

KEEP = 2
ECHO = "SELECT %(a)s::int AS a, %(b)s::text AS b, %(a)s::int + 1 AS next"


@pytest.fixture
def url(server: DatabaseServer, database: str) -> str:
    return server.urls(database)[Principal.STAFF]


@pytest.fixture
def kept(url: str) -> Iterator[RawConnections]:
    made = RawConnections(make_connect(RawConnection, url), keep=KEEP)
    yield made
    made.close()


@pytest.fixture
def connection(kept: RawConnections) -> Iterator[RawConnection]:
    taken = kept.take()
    yield taken
    kept.give_back(taken)


def number(connection: psycopg.Connection[Any]) -> int:
    return connection.info.backend_pid


def end(server: DatabaseServer, connection: psycopg.Connection[Any]) -> None:
    """End ``connection`` at the server, and wait until it is gone."""
    with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
        ended = superuser.execute("SELECT pg_terminate_backend(%s, 10000)", (number(connection),)).fetchone()
    assert ended == (True,)


def test_what_was_given_back_last_is_given_out_first(kept: RawConnections) -> None:
    first, second = kept.take(), kept.take()
    kept.give_back(first)
    kept.give_back(second)
    assert [kept.take(), kept.take()] == [second, first]
    first.close()
    second.close()


def test_each_statement_is_its_own_transaction(connection: RawConnection) -> None:
    connection.execute("SELECT 1")
    assert connection.pgconn.transaction_status == TransactionStatus.IDLE


def test_what_the_server_closed_is_replaced_by_a_new_one(server: DatabaseServer, kept: RawConnections) -> None:
    old = kept.take()
    kept.give_back(old)
    end(server, old)
    new = kept.take()
    assert new is not old and old.closed
    assert new.first_row(ECHO, {"a": 1, "b": "x"}) == {"a": 1, "b": "x", "next": 2}
    kept.give_back(new)


def test_what_broke_in_use_is_not_kept(server: DatabaseServer, kept: RawConnections) -> None:
    broken = kept.take()
    end(server, broken)
    with pytest.raises(psycopg.OperationalError):
        broken.first_row("SELECT 1 AS a", {})
    kept.give_back(broken)
    assert kept.take() is not broken


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_left_in_a_transaction_is_rolled_back(kept: RawConnections, *, fails: bool) -> None:
    taken = kept.take()
    taken.execute("BEGIN")
    taken.execute("SELECT set_config('sigilo.patient_id', 'somebody', true)")
    if fails:
        with pytest.raises(errors.DivisionByZero):
            taken.execute("SELECT 1 / 0")
    kept.give_back(taken)
    again = kept.take()
    assert again is taken and again.pgconn.transaction_status == TransactionStatus.IDLE
    row = again.first_row("SELECT current_setting('sigilo.patient_id', true) AS who", {})
    assert row is not None and row["who"] in (None, "")
    kept.give_back(again)


def test_no_more_are_kept_than_may_be(kept: RawConnections) -> None:
    taken = [kept.take() for _ in range(KEEP + 1)]
    for each in taken:
        kept.give_back(each)
    assert [each.closed for each in taken] == [False] * KEEP + [True]
    kept.close()
    assert all(each.closed for each in taken)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_no_connection_is_used_beyond_its_age(url: str) -> None:
    clock = Clock()
    aging = RawConnections(make_connect(RawConnection, url), keep=KEEP, max_age=100, clock=clock)
    first = aging.take()
    aging.give_back(first)
    clock.now += 74
    assert aging.take() is first, "young enough"
    aging.give_back(first)
    clock.now += 27
    second = aging.take()
    assert first.closed and second is not first
    clock.now += 101
    assert second.first_row("SELECT 1 AS a", {}) == {"a": 1}, "in use it lives on"
    aging.give_back(second)
    assert second.closed and len(aging) == 0


def test_connections_made_together_do_not_all_end_together(url: str) -> None:
    clock = Clock()
    aging = RawConnections(make_connect(RawConnection, url), keep=8, max_age=100, clock=clock)
    taken = [aging.take() for _ in range(8)]
    ends = [each.ends_at - clock.now for each in taken]
    assert len(set(ends)) == 8 and all(75 <= end <= 100 for end in ends)
    for each in taken:
        each.close()


def test_what_lies_idle_is_bounded_over_all_principals(server: DatabaseServer, database: str) -> None:
    """However busy each principal was once, and the ones used last are kept."""
    databases = Databases(server.urls(database), pool_size=2)
    principals = (Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS, Principal.AUDITOR)
    pids = []
    for principal in principals:
        with databases.autocommit(principal) as one, databases.autocommit(principal) as other:
            pids += [number(one), number(other)]
    with databases.autocommit(Principal.AUDITOR) as connection:
        assert number(connection) in pids[-2:]
        query = "SELECT pid FROM pg_stat_get_activity(NULL) WHERE pid = ANY (%s)"
        with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
            for _ in range(200):  # the server takes a moment to end what was closed
                left = [row[0] for row in superuser.execute(query, (pids,))]
                if len(left) <= 4:
                    break
                superuser.execute("SELECT pg_sleep(0.02)")
    assert len(left) == 4
    databases.dispose()


def test_a_server_that_is_away_is_an_error_at_once(url: str, tmp_path: Any) -> None:
    away = RawConnections(make_connect(RawConnection, f"postgresql://nobody@/none?host={tmp_path}"), keep=KEEP)
    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        away.take()
    assert time.monotonic() - started < 2


def test_the_short_way_gives_what_a_cursor_gives(connection: RawConnection) -> None:
    some_id = uuid.uuid4()
    statement = """
        SELECT %(id)s::uuid AS id, %(none)s::text AS none, ARRAY['a', 'b'] AS texts, now() AS at, %(b)s::bytea AS b,
            'Conceição'::varchar(20) AS text, 7::smallint AS small, 2::bigint ^ 40 AS large, 1.50::numeric AS exact,
            true AS yes, '{"a": [1]}'::json AS json, '{"b": null}'::jsonb AS jsonb, '192.0.2.1'::inet AS ip,
            current_date AS day, ARRAY[%(id)s::uuid, NULL] AS ids, interval '90 minutes' AS while
    """
    values = {"id": some_id, "none": None, "b": b"\0\xff"}
    with connection.transaction():
        row = connection.first_row(statement, values)
        assert row is not None
        assert tuple(row.values()) == connection.execute(statement, values).fetchone()
    assert list(row)[:5] == ["id", "none", "texts", "at", "b"]


def test_the_short_way_takes_another_type_under_the_same_name(connection: RawConnection) -> None:
    given: list[tuple[str, Any]] = [
        ("bigint", 1), ("text", "two"), ("text", None), ("bigint", 2**40), ("uuid[]", [uuid.uuid4()]), ("int[]", []),
        ("bytea", b"\0"), ("timestamptz", datetime(2026, 11, 27, tzinfo=UTC)), ("bigint", -1), ("uuid[]", None),
    ]  # fmt: skip
    for kind, value in (*given, *reversed(given)):
        assert connection.first_row(f"SELECT %(value)s::{kind} AS value", {"value": value}) == {"value": value}


def test_an_idle_connection_holds_nobodys_data(connection: RawConnection) -> None:
    assert connection.first_row("SELECT repeat('segredo', 9) AS word", {}) == {"word": "segredo" * 9}
    assert connection._known_types.pgresult is None
    with pytest.raises(psycopg.DataError):
        connection.first_row("SELECT 'infinity'::timestamptz AS at", {})
    assert connection._known_types.pgresult is None


def test_what_is_passed_on_is_bytes_to_the_last_blank(connection: RawConnection) -> None:
    row = connection.first_row("SELECT 'ação '::text::bpchar AS data, 'ação '::text AS text", {})
    assert row == {"data": "ação ".encode(), "text": "ação "}
    assert connection.execute("SELECT 'ação '::text::bpchar").fetchone() == ("ação ",), "a cursor's are as ever"


def test_the_short_way_gives_the_first_row_or_none(connection: RawConnection) -> None:
    statement = "SELECT n FROM generate_series(1, %(n)s::int) AS n"
    assert connection.first_row(statement, {"n": 3}) == {"n": 1}
    assert connection.first_row(statement, {"n": 0}) is None


def test_the_short_way_raises_what_a_cursor_raises(connection: RawConnection) -> None:
    for statement in ("SELECT 1 / 0", "SELECT nothing", "no SQL"):
        with pytest.raises(psycopg.Error) as by_cursor:
            connection.execute(statement)
        with pytest.raises(psycopg.Error) as by_short_way:
            connection.first_row(statement, {})
        assert by_short_way.type is by_cursor.type
        assert by_short_way.value.sqlstate == by_cursor.value.sqlstate


def test_statements_outlive_a_rollback(kept: RawConnections) -> None:
    """At a rollback psycopg has the server forget every prepared statement, if it prepared any itself."""
    values = {"a": 1, "b": "x"}
    for _ in range(3):
        taken = kept.take()
        for _ in range(6):
            taken.execute(ECHO, values)
        taken.execute("BEGIN")
        kept.give_back(taken)
        again = kept.take()
        assert again is taken
        assert again.first_row(ECHO, values) == {"a": 1, "b": "x", "next": 2}
        kept.give_back(again)


def test_statements_that_find_no_room_work_too(connection: RawConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_connection, "STATEMENTS_MAX", 2)
    for _ in range(2):
        assert [connection.first_row(f"SELECT {n} AS n", {}) for n in range(5)] == [{"n": n} for n in range(5)]
    prepared = connection.execute("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''").fetchone()
    assert prepared == (2,)
