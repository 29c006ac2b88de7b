"""The PostgreSQL and Redis that tests run on: embedded ones of their own, or those the environment names.

``TEST_DATABASE_URL`` is a superuser's URL of a server where databases may be made and dropped (its roles named
``sigilo_*`` get fixed test passwords or memberships); ``TEST_REDIS_URL`` a Redis that may be flushed.
``TEST_POSTGRES_PROGRAMS`` is the folder of an installed PostgreSQL's programs, to run instead of the wheel's.
``TEST_SCHEMA_OF`` is a later checkout, whose migrations make the schema that tests of this one run on (`make compat`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from config import Principal
from config_urls import with_role
from embedded.home import Home
from embedded.postgres import PostgresServer
from embedded.redis import RedisServer
from migrations.roles import ensure_database, ensure_ownership, ensure_roles
from migrations.run import upgrade
from models.engine import make_engine
from tests.memory_tablespace import keep_databases_in, memory_folder

MIGRATE = (
    "import sys; from models.engine import make_engine; from migrations.run import upgrade;"
    "upgrade(make_engine(sys.argv[1], pool_size=1))"
)


@dataclass(frozen=True)
class DatabaseServer:
    """Where databases for tests are made. ``maintenance_url`` connects as superuser."""

    maintenance_url: str

    def superuser_url(self, database: str) -> str:
        parts = urlsplit(self.maintenance_url)
        return urlunsplit((parts.scheme, parts.netloc, f"/{database}", parts.query, ""))

    def urls(self, database: str) -> dict[str, str]:
        """One URL per principal: the superuser's login, with the role set at connect as production may do."""
        base = self.superuser_url(database)
        return {principal.value: with_role(base, principal.role) for principal in Principal}

    def create(self, *, template: str | None = None) -> str:
        """Make a database: migrated from nothing, or copied from ``template``. Gives its name."""
        name = f"sigilo_test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.maintenance_url, autocommit=True) as connection:
            if template is None:
                ensure_roles(connection)
                ensure_database(connection, name)
            else:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER sigilo_migrator TEMPLATE {}").format(
                        sql.Identifier(name), sql.Identifier(template)
                    )
                )
        with psycopg.connect(self.superuser_url(name), autocommit=True) as connection:
            ensure_ownership(connection)
        if template is None:
            migrate(self.urls(name)[Principal.MIGRATOR])
        return name

    def drop(self, name: str) -> None:
        with psycopg.connect(self.maintenance_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def migrate(url: str) -> None:
    later = os.environ.get("TEST_SCHEMA_OF")
    if later:
        subprocess.run([sys.executable, "-c", MIGRATE, url], cwd=later, check=True)
        return
    engine = make_engine(url, pool_size=1)
    upgrade(engine)
    engine.dispose()


@contextmanager
def database_server(home: Path) -> Iterator[DatabaseServer]:
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield DatabaseServer(named)
        return
    programs = os.environ.get("TEST_POSTGRES_PROGRAMS")
    server = PostgresServer(Home(home), durable=False, programs=Path(programs) if programs else None)
    with memory_folder() as memory:
        server.start()
        try:
            let_in_quickly(server.maintenance_url)
            if memory is not None:
                keep_databases_in(memory, server)
            yield DatabaseServer(server.maintenance_url)
        finally:
            with suppress(OSError):
                server.destroy()


def let_in_quickly(url: str) -> None:
    """Have the login of ``url`` prove its password by one hash and not by four thousand, on either side, of which tests
    would wait for ten thousand times. PostgreSQL 15 knows no other number."""
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.info.server_version >= 160000:
            connection.execute("SET scram_iterations = 1")
            connection.execute(
                sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(sql.Literal(connection.info.password))
            )


@contextmanager
def redis_server(home: Path) -> Iterator[str]:
    """URL of a Redis that is the tests' own."""
    named = os.environ.get("TEST_REDIS_URL")
    if named:
        yield named
        return
    server = RedisServer(Home(home), durable=False)
    server.start()
    try:
        yield server.url
    finally:
        server.destroy()
