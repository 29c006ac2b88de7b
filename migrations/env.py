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
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        # Waiting for another process's migration is fine; waiting for a table's lock is not.
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATE})")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        context.run_migrations()


run(context.config.attributes["connection"])
