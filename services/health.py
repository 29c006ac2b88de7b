"""Ask each part that Sigilo needs whether it works, and how long it took to say so."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import psycopg
import sqlalchemy.exc

from config import Principal, Settings
from integrations.language_model import LanguageModelError
from integrations.ollama import make_server
from integrations.redis_store import RedisStore, StoreUnavailable
from integrations.signs_of_life import unserved
from models.advisory_locks import SCHEDULER
from models.engine import Databases
from models.schema_floor import obstacle
from services.backup_standing import STANDING, read_standing
from services.measure import Row, measure

Status = Literal["ok", "degraded", "down", "unknown"]

# Events are sealed within seconds of their commit; a minute's wait means that nobody seals them.
LATE_SECONDS, SILENT_SECONDS = 15.0, 60.0

BACKGROUND = f"""
SELECT audit_outbox_lag(), EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND classid = 0 AND objid = {SCHEDULER}
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


UNKNOWN = Finding("unknown", note="the database does not answer")


def check_database(databases: Databases, revision: str) -> Finding:
    """Reachable, and with a schema that serves this program: the one it was written for, or a later one that still has
    all that it uses."""
    started = time.perf_counter()
    try:
        with databases.autocommit(Principal.ANONYMOUS) as connection:
            wrong = obstacle(lambda statement: connection.execute(statement).fetchone(), revision)
    except psycopg.errors.UndefinedTable:
        return Finding("down", note="the schema is missing: run `sigilo db upgrade`")
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError):
        return Finding("down", note="no answer")
    latency = (time.perf_counter() - started) * 1000
    return Finding("ok", latency) if wrong is None else Finding("down", latency, wrong)


def check_redis(store: RedisStore) -> Finding:
    """Answers. Without it quotas are counted per process and background work waits, nothing else."""
    try:
        return Finding("ok", store.ping())
    except StoreUnavailable:
        return Finding("down", note="no answer: quotas are stricter, background work waits")


def check_model(settings: Settings) -> Finding:
    """Ollama answers and has the model. Nothing depends on it: rules do its work meanwhile."""
    started = time.perf_counter()
    try:
        make_server(settings).model(settings.ai_model)
    except LanguageModelError as error:
        return Finding("down", note=str(error))
    return Finding("ok", (time.perf_counter() - started) * 1000)


def check_worker(store: RedisStore) -> Finding:
    """Whether every queue has a worker that lives and reaches Redis, by the signs that workers give there. Without
    the trail's worker nothing is sealed; without another, some work waits."""
    started = time.perf_counter()
    try:
        missing = unserved(store)
    except StoreUnavailable:
        return Finding("unknown", note="Redis, where workers give signs of life, does not answer")
    latency = (time.perf_counter() - started) * 1000
    if not missing:
        return Finding("ok", latency)
    note = f"no worker serves {', '.join(missing)}"
    return Finding("down" if "audit" in missing else "degraded", latency, note)


def check_background(databases: Databases) -> dict[str, Finding]:
    """How long the oldest audit event has waited to be sealed, whether a scheduler leads, and how old the newest
    backup is that a drill has restored."""
    started = time.perf_counter()
    background, standing = measure(databases, BACKGROUND, STANDING)
    latency = (time.perf_counter() - started) * 1000
    return {
        "trail": UNKNOWN if background is None else _trail(background[0], latency),
        "scheduler": UNKNOWN if background is None else _scheduler(background[1], latency),
        "backups": UNKNOWN if standing is None else _backups(standing, latency),
    }


def worst(findings: Iterable[Finding]) -> Status:
    """What is said of all together. Not to know something is no fault of the whole."""
    found = {finding.status for finding in findings}
    return "down" if "down" in found else "degraded" if "degraded" in found else "ok"


def _trail(lag: float, latency: float) -> Finding:
    if lag <= LATE_SECONDS:
        return Finding("ok", latency)
    note = f"the oldest audit event has waited {int(lag)} s to be sealed"
    return Finding("degraded" if lag <= SILENT_SECONDS else "down", latency, note)


def _scheduler(leads: bool, latency: float) -> Finding:
    return Finding("ok", latency) if leads else Finding("down", latency, "no scheduler runs")


def _backups(row: Row, latency: float) -> Finding:
    """Late or failed backups lose nothing yet: somebody must look, and nobody is sent elsewhere."""
    standing, now = read_standing(row), row[0]
    if standing.good_at is None:
        age = "no backup has been restored in a drill yet"
    else:
        hours = (now - standing.good_at).total_seconds() / 3600
        age = f"the newest backup that a drill restored is {hours:.1f} h old"
    if standing.alerts:
        return Finding("degraded", latency, f"{age}; look into: {', '.join(standing.alerts)}")
    return Finding("unknown" if standing.good_at is None else "ok", latency, age)
