"""Run a read and its audit event as one statement, as the right database role.

The event commits with the statement, before a byte of the answer leaves; when it can't be written there is
no answer. A patient's role sees nothing without the patient named in its transaction, so theirs is a short
transaction, one for all that a page shows; everybody else's is one round trip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from config import Principal
from models.engine import Databases
from models.raw_connection import RawConnection
from models.user import Role
from services.actor import Actor
from services.audit_event import EVENT_COLUMNS, UNAUDITED, Event, Origin, event_row
from services.errors import ServiceError, Unavailable


def event_insert(source: str, **expressions: str) -> str:
    """SQL: INSERT of one event whose columns are bound as %(event_<column>)s, except ``expressions``,
    which are SQL over ``source`` (a FROM clause, or empty)."""
    values = ", ".join(expressions.get(column, f"%(event_{column})s") for column in EVENT_COLUMNS)
    return f"INSERT INTO audit_outbox ({', '.join(EVENT_COLUMNS)}) SELECT {values} {source}"


def event_parameters(actor: Actor | Origin, event: Event) -> dict[str, Any]:
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
        with _connection(databases, actor) as connection:
            return connection.first_row(statement, parameters)
    except psycopg.DataError:
        raise
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error


@contextmanager
def together(databases: Databases, actor: Actor) -> Iterator[Databases]:
    """``databases`` for several reads of one page, whose events commit together: a patient's are one transaction, and
    not one each. What a read refuses it still records. Raises Unavailable, as ``read`` does."""
    if actor.role is not Role.PATIENT:
        yield databases
        return
    refused = None
    try:
        with _connection(databases, actor) as connection:
            try:
                yield databases.holding(Principal.PATIENT, connection)
            except ServiceError as error:
                refused = error
    except psycopg.DataError:
        raise
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    if refused is not None:
        raise refused


@contextmanager
def _connection(databases: Databases, actor: Actor) -> Iterator[RawConnection]:
    if actor.role is not Role.PATIENT:
        with databases.autocommit(Principal.STAFF) as connection:
            yield connection
        return
    with databases.autocommit(Principal.PATIENT) as connection:
        if connection.pgconn.transaction_status == TransactionStatus.INTRANS:
            yield connection  # of reads together, who named the patient
            return
        with connection.transaction():
            connection.execute("SELECT set_config('sigilo.patient_id', %s, true)", (str(actor.patient_id),))
            yield connection
