"""Take a server from nothing to the newest schema: roles, database, ownership, migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql
from sqlalchemy import Engine, text

from config import ConfigurationError, Principal, Settings
from config_urls import with_database
from migrations.floor import refuse_to_strand
from migrations.roles import ARCHIVE, MIGRATOR, ensure_database, ensure_ownership, ensure_roles
from migrations.run import downgrade, upgrade
from models.engine import make_engine

MIGRATION_TIMEOUT_MS = 30 * 60_000
# The worker, which archives, is not to be who says for how long the trail stays.
POLICY = text("UPDATE audit_policy SET keep_months = :months WHERE keep_months <> :months")


def upgrade_schema(settings: Settings, revision: str = "head") -> None:
    """Run the missing migrations as the migrator, after making roles where DATABASE_URL's login may.

    Raises ConfigurationError when the roles are missing and the login may not make them.
    """
    url = settings.database_url.get_secret_value()
    if url:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            _claim_database(connection)
    with _migrator(settings) as engine:
        upgrade(engine, revision)
        note_policy(engine, settings)


def note_policy(engine: Engine, settings: Settings) -> None:
    """As the migrator: keep AUDIT_KEEP_MONTHS where the database itself asks for it; nothing before that schema."""
    with engine.begin() as connection:
        if connection.execute(text("SELECT to_regclass('public.audit_policy') IS NOT NULL")).scalar_one():
            connection.execute(POLICY, {"months": settings.audit_keep_months})


def downgrade_schema(settings: Settings, revision: str) -> None:
    """Take the schema back to ``revision``; roles stay, for other databases may need them."""
    with _migrator(settings) as engine:
        downgrade(engine, revision)


def check_beside(settings: Settings) -> str:
    """Whether the release that serves can go on beside this one; see ``refuse_to_strand``."""
    with _migrator(settings) as engine:
        return refuse_to_strand(engine)


@contextmanager
def _migrator(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(
        settings.url_for(Principal.MIGRATOR), pool_size=1, statement_timeout_ms=MIGRATION_TIMEOUT_MS
    )
    try:
        yield engine
    finally:
        engine.dispose()


def prepare_server(
    maintenance_url: str, superuser_url: str, database: str, passwords: dict[str, str]
) -> None:
    """On a server of our own: every role with its password, the database, and who owns it.

    ``passwords`` is role name → password; both URLs log in as a superuser, the second to ``database``.
    """
    with psycopg.connect(maintenance_url, autocommit=True, connect_timeout=10) as connection:
        ensure_roles(connection, passwords)
        ensure_database(connection, database)
    with psycopg.connect(superuser_url, autocommit=True, connect_timeout=10) as connection:
        ensure_ownership(connection)


def prepare_own_server(settings: Settings) -> None:
    """The same from settings, and the newest schema: DATABASE_URL is a superuser's and names the database, and each
    DATABASE_URL_… says the password of its role. Nothing is changed before all of them are known.

    Raises ConfigurationError when one is missing, or is another role's.
    """
    url = settings.database_url.get_secret_value()
    if not url:
        raise ConfigurationError("DATABASE_URL is missing: name a superuser's, which makes the roles")
    database = unquote(urlsplit(url).path.removeprefix("/"))
    if not database:
        raise ConfigurationError("DATABASE_URL names no database: end it with /sigilo")
    passwords = {}
    for principal in Principal:
        name = f"database_url_{principal.value}"
        parts = urlsplit(getattr(settings, name).get_secret_value())
        if unquote(parts.username or "") != principal.role or not parts.password:
            raise ConfigurationError(
                f"{name.upper()} gives no password of {principal.role}: write"
                f" postgresql://{principal.role}:PASSWORD@host/{database} into its file"
            )
        passwords[principal.role] = unquote(parts.password)
    prepare_server(with_database(url, "postgres"), url, database, passwords)
    upgrade_schema(settings)


def _claim_database(connection: psycopg.Connection) -> None:
    """Make roles and give the schema to the migrator, unless an administrator has done so already."""
    try:
        ensure_roles(connection)
        ensure_ownership(connection)
    except psycopg.errors.InsufficientPrivilege:
        missing = [principal.role for principal in Principal if not _may_become(connection, principal.role)]
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ARCHIVE,)).fetchone() is None:
            missing.append(ARCHIVE)
        owner = connection.execute(
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'"
        ).fetchone()
        if missing or owner != (MIGRATOR,):
            raise ConfigurationError(
                "the login in DATABASE_URL may not make the database roles: "
                "run `sigilo db upgrade` once with a superuser's DATABASE_URL"
            ) from None


def _may_become(connection: psycopg.Connection, role: str) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    except psycopg.Error:
        return False
    return True
