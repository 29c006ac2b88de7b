"""Which database a restore goes to, and with which password: one that is said where ``ps`` shows it is the last resort.

Whoever may make databases is mostly a superuser, and a restore takes its time: long enough for everybody on the machine
to read its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from backups.database import connect_server
from backups.errors import BackupFailed
from config_urls import with_database, with_password

NAME = re.compile(r"[\w-]{1,63}", re.ASCII)
SHAPE = (
    "--into takes the name of a database, or a URL: postgresql://login@host/database, its password from"
    " --password-file, PGPASSWORD, PGPASSFILE or ~/.pgpass"
)
ASKS = (
    "The server asks for a password: give a file with it as --password-file, or set PGPASSWORD or PGPASSFILE. On a"
    " terminal it is asked for."
)


def restore_target(
    into: str | None, own: Callable[[], str], *, password: str | None = None, ask: Callable[[], str] | None = None
) -> str:
    """URL of the database to restore into, with its password. ``into``: a URL, the name of a database beside the
    installation's, or None for the installation's own; ``own`` gives that one's URL. A URL without a password gets
    ``password``, else what libpq finds (PGPASSWORD, PGPASSFILE, ``~/.pgpass``), else what ``ask`` gives where there is
    somebody to ask. Raises BackupFailed, and psycopg.OperationalError where the server does not answer."""
    if into is None:
        return own()
    if NAME.fullmatch(into):
        return with_database(own(), into)
    try:
        given = conninfo_to_dict(into)
    except psycopg.ProgrammingError:  # whose words quote it
        raise BackupFailed(SHAPE) from None
    if "://" not in into or not given.get("dbname"):
        raise BackupFailed(SHAPE)
    if given.get("password"):
        return into
    found = password or _found_by_libpq(into, ask)
    return with_password(into, found) if found else into


def has_password(into: str | None) -> bool:
    """Whether ``into`` itself holds one, for everybody to read."""
    try:
        return bool(conninfo_to_dict(into or "").get("password"))
    except psycopg.ProgrammingError:
        return False


def _found_by_libpq(url: str, ask: Callable[[], str] | None) -> str:
    """Empty where the server asks for none."""
    try:
        with connect_server(url) as server:
            return server.pgconn.password.decode() if server.pgconn.used_password else ""
    except psycopg.OperationalError as error:
        if error.pgconn is None or not error.pgconn.needs_password:
            raise
    if ask is None:
        raise BackupFailed(ASKS)
    return ask()
