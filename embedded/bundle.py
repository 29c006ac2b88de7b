"""``sigilo doctor --bundle FILE``: what somebody who helps needs to know of an installation, and nothing of its people.

An archive of JSON files. What is in it is chosen line by line (numbers, versions, states, classes of errors), and then
all of it is compared with the names, addresses and numbers in the database and with every secret
(``bundle_scan.py``). What tells something is deleted again and not handed out.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row
from pydantic import SecretStr

from config import PRODUCT_NAME, PRODUCT_VERSION, ConfigurationError, Principal, Settings, load_settings
from embedded.bundle_scan import find_told
from embedded.doctor import examine
from embedded.errors import EmbeddedError
from embedded.home import Home
from embedded.redis import NEVER_AGAIN
from integrations.broker import QUEUES
from models.connection import connect

LINES_MAX = 500  # of each log
# Texts that name no machine and nobody; of every other setting the bundle says whether it is set.
SHOWN = frozenset(
    {
        "sigilo_env", "clinic_timezone", "log_level", "ai_model", "ai_keep_alive", "ai_user_quota", "ai_clinic_quota",
        "rate_limit_default", "rate_limit_pages", "rate_limit_live", "rate_limit_anonymous", "rate_limit_login",
        "s3_region",
    }
)  # fmt: skip
TABLES = """
    SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 3 DESC, 1
"""
# File of the bundle → what it lists. No arguments of tasks, no reasons, no sentences: columns with numbers and names
# of ours alone.
LISTED = {
    "tables": TABLES,
    "migrations": "SELECT version_num AS revision FROM alembic_version",
    "job_runs": "SELECT job, slot, started_at, finished_at, outcome, rows FROM job_runs ORDER BY slot DESC LIMIT 100",
    "failed_work": "SELECT task, queue, error, attempts, first_failed_at, failed_at, resolved_at FROM dead_letters"
    " ORDER BY failed_at DESC LIMIT 100",
    "backups": "SELECT state, origin, stage, created_at, started_at, finished_at, size, verified_at, pruned_at"
    " FROM backups ORDER BY created_at DESC LIMIT 50",
    "imports": "SELECT state, count(*), max(created_at) AS newest FROM import_jobs GROUP BY state ORDER BY state",
    "waiting": "SELECT count(*) AS events, audit_outbox_lag() AS oldest_seconds FROM audit_outbox",
}


class BundleRefused(EmbeddedError):
    """Something in the bundle tells of somebody, or opens something: it was deleted. The text names where, not what."""


def write_bundle(file: Path, environ: MutableMapping[str, str], logs: Sequence[Path] = ()) -> list[str]:
    """Write FILE (a .tar.gz that its owner alone reads) with the last lines of ``logs``; gives its members' names.

    Without a database nothing can be compared with it: logs and what the database lists are left out then.
    Raises BundleRefused, EmbeddedError, ConfigurationError, OSError.
    """
    findings = [{"name": each.name, "isWell": each.is_well, "text": each.text} for each in examine(environ)]
    members: dict[str, Any] = {"about": about(), "doctor": findings}
    settings = people_of = _settings()
    texts: dict[str, str] = {}
    if settings is not None:
        members |= {"settings": shown_settings(settings), "redis": _redis(settings)}
        try:
            members |= _database(settings)
            texts = dict(_logs([*_own_logs(environ), *logs]))
        except psycopg.Error:
            people_of = None
    contents = {f"{name}.json": _json(value) for name, value in members.items()} | {
        f"logs/{name}": text for name, text in texts.items()
    }
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o600), "w+b") as opened:
        try:
            _pack(opened, contents)
            opened.seek(0)
            told = sorted(find_told(_unpacked(opened), settings, people_of))
        except BaseException:
            file.unlink()
            raise
        if told:
            file.unlink()
            raise BundleRefused(f"no bundle was kept: {', '.join(told)}; leave that out, or report it")
    return list(contents)


def about() -> dict[str, Any]:
    """Versions of everything that was installed."""
    packages = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
    return {
        "product": PRODUCT_NAME, "version": PRODUCT_VERSION, "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}", "processors": os.cpu_count(),
        "writtenAt": datetime.now(UTC).isoformat(timespec="seconds"), "packages": dict(sorted(packages.items())),
    }  # fmt: skip


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Each setting: its value where that is a number or one of ``SHOWN``; else whether it is set."""
    return {name: _shown(name, getattr(settings, name)) for name in type(settings).model_fields}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or name in SHOWN:
        return value
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    return f"set, {len(given)}" if given and isinstance(given, tuple) else "set" if given else "not set"


def _settings() -> Settings | None:
    try:
        return load_settings()
    except ConfigurationError:
        return None


def _database(settings: Settings) -> dict[str, Any]:
    with connect(settings.url_for(Principal.MIGRATOR), connect_timeout=5, autocommit=True) as connection:
        cursor = connection.cursor(row_factory=dict_row)
        listed: dict[str, Any] = {name: cursor.execute(statement).fetchall() for name, statement in LISTED.items()}
        return {"server": {"version": connection.info.server_version}, **listed}


def _redis(settings: Settings) -> dict[str, Any]:
    """Its version and memory, and how much waits in each queue."""
    client = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=3, retry=NEVER_AGAIN)
    try:
        info: dict[str, Any] = client.info()  # type: ignore[assignment]
        waiting = {queue: client.llen(queue) for queue in QUEUES}
    except redis.exceptions.RedisError as error:
        return {"error": type(error).__name__}
    finally:
        client.close()
    names = ("redis_version", "used_memory", "maxmemory_policy", "uptime_in_seconds", "connected_clients")
    return {name: info.get(name) for name in names} | {"waiting": waiting}


def _own_logs(environ: Mapping[str, str]) -> Iterator[Path]:
    """Of the embedded servers; the processes' own lines go to whoever started them, who has them."""
    yield from (log for log in sorted(Home.of(environ).postgres.glob("*.log")) if os.access(log, os.R_OK))


def _logs(files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for number, file in enumerate(files):
        lines = file.read_text(errors="replace").replace("\0", "").splitlines()[-LINES_MAX:]
        yield f"{number}.log", "".join(f"{line}\n" for line in lines)  # a file's name may be somebody's


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"


def _pack(opened: Any, contents: Mapping[str, str]) -> None:
    with tarfile.open(fileobj=opened, mode="w:gz") as archive:
        for name, text in contents.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"sigilo-doctor/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(data))


def _unpacked(opened: Any) -> dict[str, str]:
    """What is in the file: the very bytes that would be handed out are looked through."""
    with tarfile.open(fileobj=opened, mode="r:gz") as archive:
        found = ((entry.name, archive.extractfile(entry)) for entry in archive.getmembers())
        return {name: file.read().decode() for name, file in found if file is not None}


