"""The quota of exact look-ups: whoever sees a CPF or CNS in part may not use search to test whole ones.

At most ``identifier_lookup.per_hour`` (a setting, 5) in any hour a user, found or not, counted in PostgreSQL
under a lock, so simultaneous attempts are counted exactly and a flushed Redis forgives none. Finding a patient
whom the actor sees in the clear tells them nothing new and is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Principal
from models import IdentifierLookup, new_id
from models.engine import Databases
from models.user import Role
from observability.metrics import REVEALS
from services.actor import Actor
from services.audit_event import UNAUDITED, Event, record
from services.audited_read import event_insert, event_parameters
from services.errors import DuplicateIdentifier, QuotaExceeded, Unavailable
from services.masking import Visibility, role_relation, visibility
from services.patient_view import inside

DEFAULT_PER_HOUR = 5
REFUSED = Event(action="patient.lookup", entity_type="patient", outcome="refused")
HOUR = 3600
TOO_MANY = "You have used up your look-ups of exact numbers for now. Search by name, or ask reception."

LOCK_NAME = "sigilo identifier look-up "
RECENT = f"""
    quota AS (
        SELECT coalesce(
            (SELECT (value #>> '{{{{}}}}')::int FROM settings WHERE key = 'identifier_lookup.per_hour'),
            {DEFAULT_PER_HOUR}
        ) AS per_hour
    ), recent AS MATERIALIZED (
        SELECT occurred_at FROM identifier_lookups
        WHERE user_id = {{me}} AND occurred_at > clock_timestamp() - interval '1 hour'
    )
"""
# The next one passes when the last but (per_hour - 1) is an hour old.
RETRY_AFTER = f"""
    coalesce(ceil(extract(epoch FROM (
        SELECT occurred_at FROM recent ORDER BY occurred_at DESC OFFSET greatest(per_hour - 1, 0) LIMIT 1
    ) + interval '1 hour' - clock_timestamp())), {HOUR})::int
"""
SPENT = text(
    f"WITH {RECENT.format(me=':me')} "
    f"SELECT (SELECT count(*) FROM recent) >= per_hour AS is_spent, {RETRY_AFTER} AS retry_after FROM quota"
)


def is_counted(actor: Actor) -> bool:
    """Whether acting so shows documents of unknown patients in part only."""
    return visibility("patient", "cpf", role_relation(actor.role, in_team=False)) is not Visibility.CLEAR


def take_lookup(databases: Databases, actor: Actor, indexes: Mapping[str, Sequence[bytes]]) -> None:
    """Count one look-up of the blind ``indexes`` (cpf, cns → index values), in a transaction of its own.

    Raises QuotaExceeded, after writing a refused event, with the seconds until one passes; Unavailable.
    """
    if not is_counted(actor):
        return
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "id": new_id(),
        **{kind: list(values) for kind, values in indexes.items()},
    }
    try:
        with databases.autocommit(Principal.STAFF) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (_lock(actor),))
            with connection.cursor(row_factory=dict_row) as cursor:
                row = cursor.execute(_statement(actor.role, tuple(sorted(indexes))), parameters).fetchone()
            if row is None or not row["passes"]:
                connection.execute(event_insert(""), event_parameters(actor, REFUSED))
    except psycopg.Error as error:
        raise Unavailable(UNAUDITED) from error
    if row is None or not row["passes"]:
        raise QuotaExceeded(TOO_MANY, max(1, row["retry_after"]) if row else HOUR)
    REVEALS.labels("lookup").inc()


@contextmanager
def counted_duplicates(session: Session, actor: Actor, content: Mapping[str, Any]) -> Iterator[None]:
    """Around registering or correcting a patient: that a number is taken is an answer about it, so each such
    refusal counts as a look-up, and with none left a CPF or CNS can't be written at all. Numbers that nobody
    has cost nothing.

    Raises QuotaExceeded. Both refusals keep their record (``ServiceError.keeps_record``). Holds the actor's lock
    in ``session``'s transaction, so simultaneous tries take turns.
    """
    if not is_counted(actor) or all(content.get(kind) is None for kind in ("cpf", "cns")):
        yield
        return
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": _lock(actor)})
    row = session.execute(SPENT, {"me": actor.user_id}).one()
    if row.is_spent:
        record(session, actor, REFUSED)
        spent = QuotaExceeded(TOO_MANY, max(1, row.retry_after))
        spent.keeps_record = True
        raise spent
    try:
        with session.begin_nested():
            yield
    except DuplicateIdentifier as error:
        # The attempt is undone; that it was made, and answered, is not.
        session.add(IdentifierLookup(user_id=actor.user_id))
        record(session, actor, REFUSED)
        session.flush()
        error.keeps_record = True
        raise


def _lock(actor: Actor) -> str:
    return LOCK_NAME + str(actor.user_id)


@lru_cache(maxsize=32)
def _statement(role: Role, kinds: tuple[str, ...]) -> str:
    same = " AND ".join(f"p.{kind}_index = ANY(%({kind})s)" for kind in kinds)
    return f"""
        WITH {RECENT.format(me="%(me)s")}, seen AS (
            SELECT EXISTS (SELECT FROM patients p WHERE {same} AND {inside(role)}) AS in_clear
        ), taken AS (
            INSERT INTO identifier_lookups (id, user_id, occurred_at)
            SELECT %(id)s, %(me)s, clock_timestamp() FROM quota, seen
            WHERE NOT in_clear AND (SELECT count(*) FROM recent) < per_hour
            RETURNING id
        )
        SELECT in_clear OR EXISTS (SELECT FROM taken) AS passes, {RETRY_AFTER} AS retry_after FROM quota, seen
    """
