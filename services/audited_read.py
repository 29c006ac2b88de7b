"""Run a read and its audit event as one statement, as the right database role.

The event commits with the statement, before a byte of the answer leaves; when it can't be written there is
no answer. A patient's role sees nothing without the patient named in its transaction, so theirs is a short
transaction; everybody else's is one round trip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from config import Principal
from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audit_event import EVENT_COLUMNS, UNAUDITED, Event, event_row
from services.errors import Unavailable

PARAMETER = re.compile(r"%\((\w+)\)s")


def event_insert(source: str, **expressions: str) -> str:
    """SQL: INSERT of one event whose columns are bound as %(event_<column>)s, except ``expressions``,
    which are SQL over ``source`` (a FROM clause, or empty)."""
    values = ", ".join(expressions.get(column, f"%(event_{column})s") for column in EVENT_COLUMNS)
    return f"INSERT INTO audit_outbox ({', '.join(EVENT_COLUMNS)}) SELECT {values} {source}"


def event_parameters(actor: Actor, event: Event) -> dict[str, Any]:
    """Parameters for ``event_insert``."""
    row = event_row(event, actor)
    if row["changes"] is not None:
        row["changes"] = Jsonb(row["changes"])
    return {f"event_{name}": value for name, value in row.items()}


def read(databases: Databases, actor: Actor, statement: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The one row that ``statement`` gives, None when it gives none.

    Raises Unavailable when the database, and so the event, can't be reached or written.
    """
    try:
        if actor.role is Role.PATIENT:
            with databases.autocommit(Principal.PATIENT) as connection, connection.transaction():
                connection.execute("SELECT set_config('sigilo.patient_id', %s, true)", (str(actor.patient_id),))
                return _one(connection, statement, parameters)
        with databases.autocommit(Principal.STAFF) as connection:
            return _one(connection, statement, parameters)
    except psycopg.DataError:
        raise
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error


def _one(connection: psycopg.Connection[Any], statement: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row as a dictionary. The statement is rewritten to PostgreSQL's own parameters once and for all, so
    that the driver has nothing to parse at every call."""
    numbered, names = _numbered(statement)
    cursor = psycopg.RawCursor(connection)
    cursor.execute(numbered, [parameters[name] for name in names])
    row = cursor.fetchone()
    if row is None:
        return None
    columns = _columns.get(numbered)
    if columns is None:
        columns = _columns[numbered] = tuple(column.name for column in cursor.description or ())
    return dict(zip(columns, row, strict=True))


# The names of a statement's columns, which psycopg's dict_row would work out at every call. As bounded as the
# statements are: those that ``_numbered`` rewrote.
_columns: dict[bytes, tuple[str, ...]] = {}


@lru_cache(maxsize=1024)
def _numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """``statement`` with ``$1``, ``$2``, … for its ``%(name)s``, and the names in that order."""
    places: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        return f"${places.setdefault(match[1], len(places) + 1)}"

    return PARAMETER.sub(place, statement).encode(), tuple(places)
