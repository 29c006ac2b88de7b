"""The database roles: one per kind of principal, made before the first migration.

A role is an account of the whole server, so making one twice is harmless and two starting processes take
turns. With one DATABASE_URL its login becomes a member of each and switches at connect; in embedded mode
each role logs in by itself with its own password.

One more is no principal of the program's: what looks after the archive of changes, beside the server, says what it
found as that role, which may do nothing else and has no password (``deploy/postgres``).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql

from config import Principal
from models.advisory_locks import ROLES

MIGRATOR = Principal.MIGRATOR.role
ARCHIVE = "sigilo_archive"
ALL_ROLES = (*(principal.role for principal in Principal), ARCHIVE)


def ensure_roles(connection: psycopg.Connection[Any], passwords: dict[str, str] | None = None) -> None:
    """Make every role that is missing. ``passwords`` (role name → password) lets each log in by itself.

    ``connection`` must be in autocommit, as a login that may create roles. Raises psycopg.Error otherwise.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLES,))
        present = dict(connection.execute("SELECT rolname, rolcreatedb FROM pg_roles").fetchall())
        row = connection.execute(
            "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row is not None  # noqa: S101
        login, is_superuser = row
        for principal in Principal:
            name = sql.Identifier(principal.role)
            if principal.role not in present:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(name))
            if passwords is not None:
                connection.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                        name, sql.Literal(passwords[principal.role])
                    )
                )
            elif not is_superuser:
                connection.execute(sql.SQL("GRANT {} TO {}").format(name, sql.Identifier(login)))
        if ARCHIVE not in present:
            # Nobody becomes it; the account that owns the data logs in as it, over the socket.
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT").format(sql.Identifier(ARCHIVE)))
        if is_superuser and not present.get(MIGRATOR):
            # For the scratch database of each restore drill. Elsewhere an administrator grants it, or
            # DRILL_DATABASE_URL names another server.
            connection.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(MIGRATOR)))


def ensure_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Make the database ``name``, owned by the migrator, in UTF-8, unless it is there."""
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if found is None:
        # Another one that starts may have made it just now.
        with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(
                sql.SQL(
                    "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
                ).format(sql.Identifier(name), sql.Identifier(MIGRATOR))
            )


def ensure_ownership(connection: psycopg.Connection[Any]) -> None:
    """Give the connected database's schema to the migrator and take it from everybody else.

    ``connection`` is in autocommit. Two that start at once take turns: PostgreSQL lets neither change what the other is
    changing ("tuple concurrently updated").
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLES,))
        _give_schema(connection)


def _give_schema(connection: psycopg.Connection[Any]) -> None:
    connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(MIGRATOR)))
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    database = connection.info.dbname
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
    for role in ALL_ROLES:
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(role))
        )
    connection.execute(
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
            sql.Identifier(database), sql.Identifier(MIGRATOR)
        )
    )
