"""What is measured in one go: over one connection, whatever the server answers or does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal
from models.engine import Databases
from models.raw_connection import RawConnection
from services.measure import measure


@contextmanager
def statements_of(connection: RawConnection) -> Iterator[list[str]]:
    """What is sent over ``connection``."""
    said: list[str] = []
    execute = connection.execute

    def noted(query: Any, *given: Any, **options: Any) -> Any:
        said.append(str(query))
        return execute(query, *given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "execute", noted)
        yield said


def test_what_may_not_be_asked_hides_nothing_of_the_rest(databases: Databases) -> None:
    asked = ("SELECT 1, 2", "SELECT cpf_cipher FROM patients", "SELECT 3 WHERE FALSE", "SELECT 4")
    assert measure(databases, *asked) == [(1, 2), None, None, (4,)]


def test_a_table_that_is_locked_holds_up_half_a_second_and_hides_nothing_of_the_rest(databases: Databases) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text("LOCK TABLE settings IN ACCESS EXCLUSIVE MODE"))
        started = time.monotonic()
        assert measure(databases, "SELECT 1", "SELECT count(*) FROM settings", "SELECT 2") == [(1,), None, (2,)]
        assert time.monotonic() - started < 2.5
        session.rollback()


def test_types_of_columns_are_kept_though_all_is_one_statement(databases: Databases) -> None:
    asked = "SELECT now(), TRUE, 1.5::float8, interval '2 s', '{\"a\": 1}'::jsonb, NULL::text, %(given)s::text"
    with databases.autocommit(Principal.ANONYMOUS) as connection, statements_of(connection) as said:
        holding = databases.holding(Principal.ANONYMOUS, connection)
        row, none = measure(holding, asked, "SELECT 1 WHERE FALSE", parameters={"given": "x"})
    assert row is not None and isinstance(row[0], datetime)
    assert tuple(row[1:]) == (True, 1.5, timedelta(seconds=2), {"a": 1}, None, "x")
    assert none is None
    assert sum("SELECT" in statement for statement in said) == 1


def test_a_server_that_is_too_slow_is_asked_no_further(databases: Databases) -> None:
    slow = "DO $$ BEGIN RAISE query_canceled; END $$"
    assert measure(databases, "SELECT 1", slow, "SELECT 2") == [(1,), None, None]
    assert measure(databases, "SELECT 3") == [(3,)], "and its connection is fit for use"
