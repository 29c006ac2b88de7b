"""How Alembic reaches the database: as the migrator, one transaction, with lock and statement time-outs.

A migration that can't get its lock at once fails and is tried again, instead of queueing every request of
the clinic behind it.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection

import models
from models.advisory_locks import MIGRATE

LOCK_TIMEOUT = "4s"
STATEMENT_TIMEOUT = "5min"
TIMEOUTS = (f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'", f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def include_object(obj: Any, name: str | None, kind: str, reflected: bool, _: Any) -> bool:
    """Monthly partitions are made by a function as time passes; the models know only their parent."""
    return not (kind == "table" and reflected and name is not None and name.startswith("audit_trail_p"))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=models.Base.metadata,
        include_object=include_object,
        compare_type=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        # Waiting for another process's migration is fine; waiting for a table's lock is not.
        connection.exec_driver_sql(TIMEOUTS[0])
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATE})")
        for statement in TIMEOUTS:
            connection.exec_driver_sql(statement)
        context.run_migrations()


def write_sql() -> None:
    """The statements alone, for whoever looks through them (``migrations/lint.py``)."""
    context.configure(dialect_name="postgresql", target_metadata=models.Base.metadata, literal_binds=True)
    with context.begin_transaction():
        for statement in TIMEOUTS:
            context.execute(statement)
        context.run_migrations()


if context.is_offline_mode():
    write_sql()
else:
    run(context.config.attributes["connection"])
