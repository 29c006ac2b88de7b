"""Ask each part that Sigilo needs whether it works, and how long it took to say so."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import psycopg
import sqlalchemy.exc

from config import Principal
from integrations.redis_store import RedisStore, StoreUnavailable
from models.engine import Databases

Status = Literal["ok", "degraded", "down", "unknown"]

# The scheduler starts something every minute; three missed beats are no hiccup.
SILENT_SECONDS = 180
TIMED_WORK = """
SELECT extract(epoch FROM now() - max(started_at))::float8, extract(epoch FROM now() - max(finished_at))::float8
FROM job_runs WHERE started_at > now() - interval '1 day'
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one part answered. ``note`` says what is wrong, without addresses or credentials."""

    status: Status
    latency_ms: float | None = None
    note: str | None = None

    def shown(self) -> dict[str, object]:
        shown: dict[str, object] = {"status": self.status}
        if self.latency_ms is not None:
            shown["latencyMs"] = round(self.latency_ms, 2)
        if self.note is not None:
            shown["note"] = self.note
        return shown


def check_database(databases: Databases, revision: str) -> Finding:
    """Reachable, and at the schema that this program was written for."""
    started = time.perf_counter()
    try:
        with databases.autocommit(Principal.ANONYMOUS) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return Finding("down", note="the schema is missing: run `sigilo db upgrade`")
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError):
        return Finding("down", note="no answer")
    latency = (time.perf_counter() - started) * 1000
    if row is None or row[0] != revision:
        return Finding("down", latency, "another schema than this program's: run `sigilo db upgrade`")
    return Finding("ok", latency)


def check_redis(store: RedisStore) -> Finding:
    """Answers. Without it quotas are counted per process and background work waits, nothing else."""
    try:
        return Finding("ok", store.ping())
    except StoreUnavailable:
        return Finding("down", note="no answer: quotas are stricter, background work waits")


def check_timed_work(databases: Databases) -> dict[str, Finding]:
    """Whether the scheduler starts work and a worker finishes it, by the rows both leave."""
    started = time.perf_counter()
    try:
        with databases.autocommit(Principal.STAFF) as connection:
            row = connection.execute(TIMED_WORK).fetchone()
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError):
        unknown = Finding("unknown", note="the database does not answer")
        return {"scheduler": unknown, "worker": unknown}
    latency = (time.perf_counter() - started) * 1000
    begun, done = row if row is not None else (None, None)
    return {
        "scheduler": _beat(begun, latency, "no timed work was started"),
        "worker": _beat(done, latency, "no background work was finished"),
    }


def _beat(age: float | None, latency: float, silence: str) -> Finding:
    if age is None:
        return Finding("unknown", latency, f"{silence} yet")
    if age > SILENT_SECONDS:
        return Finding("down", latency, f"{silence} for {int(age)} s")
    return Finding("ok", latency)
