"""Run a read and its audit event as one statement, as the right database role.

The event commits with the statement, before a byte of the answer leaves; when it can't be written there is
no answer. A patient's role sees nothing without the patient named in its transaction, so theirs is a short
transaction; everybody else's is one round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from config import Principal
from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audit_event import EVENT_COLUMNS, UNAUDITED, Event, event_row
from services.errors import Unavailable


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
                return connection.first_row(statement, parameters)
        with databases.autocommit(Principal.STAFF) as connection:
            return connection.first_row(statement, parameters)
    except psycopg.DataError:
        raise
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
