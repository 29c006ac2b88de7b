"""What is asked of the database for whoever measures: all of it at once, and no answer is an answer.

A server that is away costs one time-out then, however much is measured: Prometheus waits ten seconds for all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.errors import LockNotAvailable

from config import Principal
from models.engine import Databases

Row = Sequence[Any]
# Whoever measures waits for nobody, and nobody for them. Compiling such a statement takes longer than running it.
LIMITS = """
    SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '500ms'; SET LOCAL jit = off
"""


def measure(
    databases: Databases,
    *statements: str,
    principal: Principal = Principal.ANONYMOUS,
    parameters: Mapping[str, Any] | None = None,
) -> list[Row | None]:
    """The first row of each statement, asked as ``principal`` in one statement; None for each without an answer.

    What one of them may not ask, or whose table is locked, hides nothing of the others: then each is asked by itself. A
    server that is gone or too slow is asked no further.
    """
    rows: list[Row | None] = []
    try:
        with databases.autocommit(principal) as connection:
            together = _asked(connection, _together(statements), parameters)
            if together is not None:
                return list(together)
            for statement in statements:
                rows.append(_asked(connection, statement, parameters))
    except psycopg.OperationalError:
        rows += [None] * (len(statements) - len(rows))
    return rows


def _together(statements: Sequence[str]) -> str:
    """One statement with a record for each: NULL where it gives no row."""
    records = ", ".join(f"r{number}" for number in range(len(statements)))
    joins = " ".join(
        f"LEFT JOIN (SELECT * FROM ({statement}) s LIMIT 1) r{number} ON TRUE"
        for number, statement in enumerate(statements)
    )
    return f"SELECT {records} FROM (SELECT) one {joins}"


def _asked(connection: psycopg.Connection[Any], statement: str, parameters: Mapping[str, Any] | None) -> Row | None:
    """The first row; None without one, or when this statement is refused. Raises OperationalError when others would
    fare no better."""
    try:
        with connection.transaction():
            connection.execute(LIMITS)
            # In binary form, for only so does a record tell the types of its columns.
            row: Row | None = connection.execute(statement, parameters, binary=True).fetchone()
    except LockNotAvailable:
        return None
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return None
    return row
