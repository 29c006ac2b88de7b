"""Upgrade and downgrade the schema, as the migrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from config import ConfigurationError
from models.schema_floor import is_newer, obstacle


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to ``revision`` in one transaction: all of it or nothing.

    A later program's schema that serves this one stays as it is: a release that is gone back to starts like any other.
    Raises ConfigurationError where it does not serve it.
    """
    with engine.connect() as connection:
        if revision == "head" and _is_a_later_programs(connection):
            return
        connection.rollback()  # what was asked above has begun a transaction, and migrations want one of their own
        command.upgrade(alembic_config(connection), revision)
        connection.commit()


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to ``revision`` in one transaction."""
    with engine.connect() as connection:
        command.downgrade(alembic_config(connection), revision)
        connection.commit()


def head() -> str:
    """The revision this code was written for."""
    revision = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert revision is not None  # noqa: S101
    return revision


def _is_a_later_programs(connection: Connection) -> bool:
    def ask(statement: str) -> tuple[Any, ...] | None:
        row = connection.execute(text(statement)).one_or_none()
        return None if row is None else tuple(row)

    if current(connection) is None or not is_newer(ask, head()):
        return False
    wrong = obstacle(ask, head())
    if wrong is not None:
        raise ConfigurationError(wrong)
    return True


def current(connection: Connection) -> str | None:
    """The revision the database is at; none when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def knows(revision: str) -> bool:
    """Whether this code can bring a database from ``revision`` to its own: false for a newer program's."""
    try:
        return ScriptDirectory.from_config(alembic_config()).get_revision(revision) is not None
    except CommandError:
        return False
