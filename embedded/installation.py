"""The variables under which an installation's processes find its servers and keys, and a command its way in.

Every secret is named by a ``NAME_FILE`` variable and never stands in an environment, where diagnostics
and children would carry it on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config import Principal, Settings, load_settings
from config_sources import secret_files
from embedded.errors import EmbeddedError, NotRunningError
from embedded.home import Home
from embedded.postgres import PostgresServer
from embedded.redis import RedisServer
from embedded.secrets import AUDIT_SIGNING_KEY, FIELD_KEY, SUPERUSER_PASSWORD, SecretsFolder

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

# Tells the preparing process that the server is ours, so that it may make roles and the database.
EMBEDDED_DATABASE = "SIGILO_EMBEDDED_DATABASE"
DATABASE_VARIABLES = tuple(f"DATABASE_URL_{principal.value.upper()}" for principal in Principal)


def is_given(name: str, environ: Mapping[str, str]) -> bool:
    """Whether the setting ``name`` comes from outside: a variable, a named file or a mounted secret."""
    return bool(
        environ.get(name)
        or environ.get(f"{name}_FILE")
        or any(path.exists() for path in secret_files(name.lower(), environ))
    )


def brings_database(environ: Mapping[str, str]) -> bool:
    """Whether a database server is named, so that none of ours is needed."""
    return is_given("DATABASE_URL", environ) or all(is_given(name, environ) for name in DATABASE_VARIABLES)


def brings_redis(environ: Mapping[str, str]) -> bool:
    return is_given("REDIS_URL", environ)


def refuse_lost_keys(home: Home) -> None:
    """Raise EmbeddedError when the database outlived its keys: new ones could read nothing of it."""
    if not (home.postgres / "data").is_dir():
        return
    for name in (SUPERUSER_PASSWORD, FIELD_KEY, AUDIT_SIGNING_KEY):
        if not (home.secrets / name).is_file() and not is_given(name.upper(), os.environ):
            raise EmbeddedError(
                f"{home.secrets / name} is missing though {home.postgres} holds data: "
                "restore it from your backup, or move the data away to begin anew"
            )


def installation_environment(
    home: Home,
    environ: Mapping[str, str],
    *,
    port: int,
    postgres: PostgresServer | None,
    redis: RedisServer | None,
) -> dict[str, str]:
    """Variables to add to ``environ`` so that our processes reach the launched servers and their keys.

    What ``environ`` already gives is left out and so wins.
    """
    folder = SecretsFolder(home.secrets)
    found = {
        "SIGILO_HOME": str(home.path),
        "SIGILO_ENV": environ.get("SIGILO_ENV") or "development",
        "PORT": str(port),
    }
    for name, path in folder.application_keys().items():
        if not is_given(name, environ):
            found[f"{name}_FILE"] = str(path)
    if postgres is not None:
        passwords = folder.role_passwords()
        for principal in Principal:
            url = postgres.url(principal.role, passwords[principal.role])
            name = f"database_url_{principal.value}"
            found[f"{name.upper()}_FILE"] = str(folder.store(name, url))
        if not environ.get("POSTGRES_PROGRAMS"):
            found["POSTGRES_PROGRAMS"] = os.pathsep.join(map(str, postgres.client_programs))
        # For `sigilo db url --role superuser` and for preparing the database; no setting of the application.
        folder.store("database_url_superuser", postgres.superuser_url)
    if redis is not None:
        found["REDIS_URL_FILE"] = str(folder.store("redis_url", redis.url))
    return found


def enter_running_installation(environ: MutableMapping[str, str]) -> None:
    """Give a command in another terminal the servers and keys of the running ``sigilo run``.

    What ``environ`` brings stays. Raises NotRunningError when nothing runs and it brings no server either.
    """
    own_database = brings_database(environ)
    try:
        running = Home.of(environ).running_environment()
    except NotRunningError:
        if own_database or brings_redis(environ):
            return  # servers of their own are meant, and the settings will say what is missing
        raise
    for name, value in running.items():
        setting = name.removesuffix("_FILE")
        if own_database and setting.startswith("DATABASE_URL"):
            continue
        if not is_given(setting, environ):
            environ[name] = value


def running_settings() -> Settings:
    """Settings of the servers that the environment names, else of the running ``sigilo run``."""
    enter_running_installation(os.environ)
    return load_settings()


def superuser_url() -> str:
    """The database as a superuser: the embedded one's, or DATABASE_URL where the environment brings it. Raises
    EmbeddedError where there is but a login for each role."""
    settings = running_settings()
    if brings_database(os.environ) and settings.database_url.get_secret_value():
        return settings.database_url.get_secret_value()
    try:
        return (Home.of(os.environ).secrets / "database_url_superuser").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedError(
            "no DATABASE_URL is set, only one URL per role: name one whose login may make databases, as DATABASE_URL or"
            " where a command takes one"
        ) from None


@contextmanager
def session_as(settings: Settings, principal: Principal) -> Iterator[Session]:
    """One transaction as ``principal``: committed when the command succeeds."""
    from models.engine import Databases

    databases = Databases({each.value: settings.url_for(each) for each in Principal}, pool_size=1)
    try:
        with databases.session(principal.value) as session:
            yield session
    finally:
        databases.dispose()
