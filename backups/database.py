"""Databases that a backup is restored into: made empty, and dropped or renamed when it is done."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from backups.errors import BackupFailed, Busy
from config import Principal
from config_urls import with_database, with_role
from migrations.roles import ALL_ROLES, ensure_database, ensure_ownership, ensure_roles
from models.advisory_locks import RESTORES
from models.connection import connect

DRILL, RESTORE = "sigilo_drill_", "sigilo_restore_"
MAINTENANCE = ("postgres", "template1")
RENAME_TRIES, RENAME_PAUSE_SECONDS = 50, 0.1
NO_RIGHT = (
    "This login may make no database: run `sigilo db upgrade` once with a superuser's DATABASE_URL, or name in"
    " DRILL_DATABASE_URL (for drills) or --into one that may."
)
# Whatever a person could have put there: tables, views, sequences and functions outside of PostgreSQL's own schemas.
HOLDS = """
    SELECT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
            AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    )
"""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Scratch:
    """A database of its own, and how each principal reaches it."""

    name: str
    url_of: Callable[[Principal], str]


def connect_server(url: str) -> Connection:
    """To a database of the server that is always there, in autocommit. Raises psycopg.OperationalError."""
    own = str(conninfo_to_dict(url).get("dbname") or "")
    for name in (*MAINTENANCE, own):
        try:
            return connect(with_database(url, name), autocommit=True)
        except psycopg.OperationalError:
            if name == own:
                raise
    raise AssertionError


@contextmanager
def locked_server(url: str, *, patience: int = 0) -> Iterator[Connection]:
    """``connect_server``, and nobody else's drill or restore on that server meanwhile, another installation's included:
    an advisory lock is a database's, and this is taken in the one that all of them have. Waits so many seconds; raises
    Busy."""
    with connect_server(url) as server:
        try:
            server.execute(f"SET lock_timeout = {max(1, patience * 1000)}")
            server.execute("SELECT pg_advisory_lock(%s)", [RESTORES])
        except psycopg.errors.LockNotAvailable:
            raise Busy("A restore or a drill works on this server: wait for it.") from None
        server.execute("RESET lock_timeout")
        yield server


def make_scratch(
    server: Connection, url: str, prefix: str, url_of: Callable[[Principal], str] | None = None
) -> Scratch:
    """An empty database, closed to whoever is no role of ours. ``url_of``: how each principal logs in to the server, by
    default with ``url``'s login and the role set. Raises BackupFailed when the login may not make one."""
    name = prefix + secrets.token_hex(6)
    try:
        _ensure_roles(server)
        ensure_database(server, name)
        with connect(with_database(url, name), autocommit=True) as inside:
            _own_schema(inside)
            ensure_ownership(inside)
    except psycopg.errors.InsufficientPrivilege as error:
        raise BackupFailed(NO_RIGHT) from error
    logins = url_of or (lambda principal: with_role(url, principal.role))
    return Scratch(name, lambda principal: with_database(logins(principal), name))


def _own_schema(inside: Connection) -> None:
    """Whoever owns a database may own its schema, but in PostgreSQL 15 not a role that does not inherit, as ours do
    not: it acts as ``pg_database_owner`` by name, and makes the schema anew."""
    row = inside.execute("SELECT rolsuper, current_user FROM pg_roles WHERE rolname = current_user").fetchone()
    if row is None or row[0]:
        return
    inside.execute("SET ROLE pg_database_owner")
    inside.execute("DROP SCHEMA public")
    inside.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(row[1])))
    inside.execute("CREATE SCHEMA public")


def _ensure_roles(server: Connection) -> None:
    row = server.execute(
        "SELECT rolsuper, (SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)) FROM pg_roles"
        " WHERE rolname = current_user",
        [list(ALL_ROLES)],
    ).fetchone()
    if row is not None and row[1] == len(ALL_ROLES):
        return
    ensure_roles(server)


def drop(server: Connection, name: str) -> None:
    """Connections that were closed a moment ago are waited for; one that stays is ended, where the login may."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
    try:
        server.execute(statement)
    except psycopg.errors.ObjectInUse:
        server.execute(statement + sql.SQL(" WITH (FORCE)"))


def drop_leftovers(server: Connection, prefix: str) -> None:
    """Of runs that were killed: each holds every patient. The caller holds the lock, so nobody works in one."""
    rows = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix]).fetchall()
    for (name,) in rows:
        with suppress(psycopg.errors.InsufficientPrivilege):  # another login's
            drop(server, name)


def is_there(server: Connection, name: str) -> bool:
    return server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def holds_something(url: str) -> bool:
    with connect(url, autocommit=True) as connection:
        return connection.execute(HOLDS).fetchone() == (True,)


def take_place(server: Connection, scratch: str, name: str) -> str | None:
    """Give ``scratch`` the name ``name``, at one moment; what had it keeps another name, which is given. Raises
    BackupFailed when somebody keeps connecting to it."""
    kept = f"{name[:40]}_replaced_{datetime.now(UTC):%Y%m%d%H%M%S}" if is_there(server, name) else None
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    for attempt in range(RENAME_TRIES):
        for each in (name, scratch):
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [each])
        try:
            with server.transaction():
                if kept is not None:
                    server.execute(rename.format(sql.Identifier(name), sql.Identifier(kept)))
                server.execute(rename.format(sql.Identifier(scratch), sql.Identifier(name)))
            return kept
        except psycopg.errors.ObjectInUse as error:
            if attempt == RENAME_TRIES - 1:
                raise BackupFailed(
                    f"Somebody keeps connecting to the database {name}: stop what uses it. Nothing was changed."
                ) from error
            time.sleep(RENAME_PAUSE_SECONDS)
    raise AssertionError
