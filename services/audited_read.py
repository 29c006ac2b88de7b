"""Run a read and its audit event as one statement, as the right database role.

The event commits with the statement, before a byte of the answer leaves; when it can't be written there is
no answer. A patient's role sees nothing without the patient named in its transaction, so theirs is a short
transaction, one for all that a page shows; everybody else's is one round trip.

A caller who is only remembered (``Actor.standing``) is confirmed by the same statement: its event gets no id, which the
table refuses, unless token and user are what they were. So nothing is shown to a token that was revoked meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.errors import NotNullViolation
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from config import Principal
from models import AuditOutbox
from models.engine import Databases
from models.raw_connection import RawConnection
from models.user import Role
from services.actor import Actor
from services.audit_event import EVENT_COLUMNS, UNAUDITED, Event, Origin, event_row
from services.authenticate import ROLE_HELD, TOKEN_LASTS, USER_MAY
from services.errors import CallerChanged, ServiceError, Unavailable

EVENT_ID = "%(event_id)s"
# By three probes and no join: whose token it is and what for is among what is remembered.
CONFIRMED_EVENT_ID = f"""
    CASE WHEN EXISTS (
        SELECT FROM api_tokens t WHERE t.id = %(event_token_id)s AND t.xmin = %(caller_row)s::xid AND {TOKEN_LASTS}
            AND t.user_id = %(event_actor_id)s AND t.acting_role = %(event_actor_role)s
    ) AND EXISTS (
        SELECT FROM users u WHERE u.id = %(event_actor_id)s AND u.version = %(caller_version)s
            AND u.quota IS NOT DISTINCT FROM %(caller_quota)s AND {USER_MAY}
    ) AND {ROLE_HELD.format(user="%(event_actor_id)s", role="%(event_actor_role)s")} THEN {EVENT_ID} END
"""
CHANGED = "Your token was changed a moment ago. Send the request again."


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

    Raises Unavailable when the database, and so the event, can't be reached or written; CallerChanged when the actor is
    not any more what they are remembered as.
    """
    standing = actor.standing
    if standing is not None and not standing.is_confirmed and EVENT_ID in statement:
        row = _first_row(databases, actor, confirming(statement), {
            **parameters, "caller_row": standing.token_row, "caller_version": standing.user_version,
            "caller_quota": standing.user_quota,
        })  # fmt: skip
        standing.is_confirmed = True
        return row
    return _first_row(databases, actor, statement, parameters)


@lru_cache(maxsize=256)
def confirming(statement: str) -> str:
    """``statement``, whose event is refused unless the actor is still what they are remembered as."""
    return statement.replace(EVENT_ID, CONFIRMED_EVENT_ID)


def _first_row(
    databases: Databases, actor: Actor, statement: str, parameters: Mapping[str, Any]
) -> dict[str, Any] | None:
    try:
        if actor.role is not Role.PATIENT:
            with databases.autocommit(Principal.STAFF) as connection:
                return connection.first_row(statement, parameters)
        with _of_patient(databases, actor) as connection:
            return connection.first_row(statement, parameters)
    except psycopg.DataError:
        raise
    except NotNullViolation as error:
        if error.diag.table_name == AuditOutbox.__tablename__ and error.diag.column_name == "id":
            raise CallerChanged(CHANGED) from error
        raise Unavailable(UNAUDITED) from error
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
        with _of_patient(databases, actor) as connection:
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
def _of_patient(databases: Databases, actor: Actor) -> Iterator[RawConnection]:
    """In a transaction that names the patient."""
    with databases.autocommit(Principal.PATIENT) as connection:
        if connection.pgconn.transaction_status == TransactionStatus.INTRANS:
            yield connection  # of reads together, who named the patient
            return
        with connection.transaction():
            connection.execute("SELECT set_config('sigilo.patient_id', %s, true)", (str(actor.patient_id),))
            yield connection
