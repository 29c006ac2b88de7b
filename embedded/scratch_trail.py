"""A database of its own with a copy of the trail, to do to it what nobody may do to the trail itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from config import Principal, Settings
from config_urls import with_database, with_role
from embedded.errors import EmbeddedError
from migrations.roles import ensure_database, ensure_ownership
from migrations.run import upgrade
from models.engine import make_engine

FEWEST = 5  # so that there is something before and behind what is edited
MOST_COPIED = 200_000  # events, the first that are online: enough to show it, and seconds instead of hours
TABLES = ("audit_archives", "audit_checkpoints")
BOUNDS = """
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'audit_trail'::regclass
"""

Connection = psycopg.Connection[Any]


@contextmanager
def scratch_trail(settings: Settings, superuser_url: str) -> Iterator[tuple[Settings, str]]:
    """Settings and a superuser's URL of a database that has the newest schema and the trail's events, and is dropped at
    the end of the block. Raises EmbeddedError when ``superuser_url`` is none of a superuser, or the trail is empty."""
    name = f"sigilo_tamper_{secrets.token_hex(4)}"
    url = with_database(superuser_url, name)
    with psycopg.connect(superuser_url, autocommit=True) as source:
        if source.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() != (True,):
            raise EmbeddedError("this takes a superuser of PostgreSQL: only one can edit the trail at all")
        _drop_leftovers(source)
        ensure_database(source, name)
        try:
            with psycopg.connect(url, autocommit=True) as target:
                if target.info.dbname != name:  # a URL may name its database in a way that wins over ours
                    raise EmbeddedError("this URL leads to its own database whatever is asked for: name it plainly")
                ensure_ownership(target)
            engine = make_engine(with_role(url, Principal.MIGRATOR.role), pool_size=1)
            upgrade(engine)
            engine.dispose()
            with psycopg.connect(url, autocommit=True) as target:
                _copy(source, target)
            urls = {f"database_url_{each.value}": with_role(url, each.role) for each in Principal}
            yield settings.model_copy(update={key: _secret(settings, value) for key, value in urls.items()}), url
        finally:
            source.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_leftovers(source: Connection) -> None:
    """Of runs that were killed: each is a copy of who saw whom."""
    for (name,) in source.execute("SELECT datname FROM pg_database WHERE datname LIKE 'sigilo_tamper_%'").fetchall():
        source.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _copy(source: Connection, target: Connection) -> None:
    there = {row[0] for row in target.execute(BOUNDS).fetchall()}
    for name, bounds in source.execute(BOUNDS).fetchall():
        if name not in there:
            target.execute(f"CREATE TABLE {sql.Identifier(name).as_string()} PARTITION OF audit_trail {bounds}")
    row = source.execute(
        "SELECT max(sequence), count(*) FROM (SELECT sequence FROM audit_trail ORDER BY sequence LIMIT %s) t",
        (MOST_COPIED,),
    ).fetchone()
    last = row[0] if row is not None else None
    if row is None or last is None or row[1] < FEWEST:
        raise EmbeddedError(f"the trail has fewer than {FEWEST} events: look at some records first, and wait a little")
    for table in (*TABLES, "audit_trail"):
        columns = _columns(source, table)
        number = "last" if table == "audit_archives" else "sequence"
        wanted = f"SELECT {columns} FROM {table} WHERE {number} <= {int(last)}"
        with (
            source.cursor().copy(f"COPY ({wanted}) TO STDOUT") as reading,
            target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as writing,
        ):
            for data in reading:
                writing.write(data)


def _columns(connection: Connection, table: str) -> str:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (table,),
    ).fetchall()
    return ", ".join(row[0] for row in rows)


def _secret(settings: Settings, value: str) -> Any:
    return type(settings.database_url)(value)
