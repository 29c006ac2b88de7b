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

# The lock that the leading scheduler holds (tasks/leadership.py; a test keeps the two equal).
SCHEDULER_LOCK = 7_164_012
# Events are sealed within seconds of their commit; a minute's wait means that nobody seals them.
LATE_SECONDS, SILENT_SECONDS = 15.0, 60.0

BACKGROUND = f"""
SELECT audit_outbox_lag(), EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND classid = 0 AND objid = {SCHEDULER_LOCK}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
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


def check_background(databases: Databases) -> dict[str, Finding]:
    """Whether a scheduler leads, and how long the oldest audit event has waited for a worker."""
    started = time.perf_counter()
    try:
        with databases.autocommit(Principal.ANONYMOUS) as connection:
            row = connection.execute(BACKGROUND).fetchone()
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError):
        row = None
    if row is None:
        unknown = Finding("unknown", note="the database does not answer")
        return {"worker": unknown, "scheduler": unknown}
    latency = (time.perf_counter() - started) * 1000
    lag, leads = row
    scheduler = Finding("ok", latency) if leads else Finding("down", latency, "no scheduler runs")
    return {"worker": _worker(lag, latency), "scheduler": scheduler}


def _worker(lag: float, latency: float) -> Finding:
    if lag <= LATE_SECONDS:
        return Finding("ok", latency)
    note = f"the oldest audit event has waited {int(lag)} s to be sealed"
    return Finding("degraded" if lag <= SILENT_SECONDS else "down", latency, note)
