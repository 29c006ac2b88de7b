"""``/livez``, ``/readyz`` and ``/api/health``: for orchestrators and operators, without login or quota."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Response

import migrations
from config import PRODUCT_NAME, PRODUCT_VERSION
from services.health import Finding, check_background, check_database, check_redis
from web.api.answers import json_answer
from web.api.schemas import Shown
from web.guards import PUBLIC, Limit, Operation, Routes
from web.runtime import Runtime, runtime

KEPT_SECONDS = 1.0

routes = Routes("health")


class Dependency(Shown):
    status: str
    latency_ms: float | None = None
    note: str | None = None


class Health(Shown):
    status: str
    product: str
    version: str
    dependencies: dict[str, Dependency]


def newest_revision() -> str:
    """The schema this program was written for: the number that its last migration's file starts with."""
    files = (Path(migrations.__file__).parent / "versions").glob("[0-9]*_*.py")
    return max(file.name.split("_", 1)[0] for file in files)


class Kept:
    """A result kept for a second, so that probes and the curious cost one question a second."""

    def __init__(self, ask: Callable[[Runtime], dict[str, Finding]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._known: dict[int, tuple[float, dict[str, Finding]]] = {}

    def get(self, here: Runtime) -> dict[str, Finding]:
        with self._lock:
            asked_at, findings = self._known.get(id(here), (0.0, {}))
            if not findings or time.monotonic() - asked_at > KEPT_SECONDS:
                findings = self._ask(here)
                self._known = {id(here): (time.monotonic(), findings)}
            return findings


REVISION = newest_revision()
_needed = Kept(lambda here: {"database": check_database(here.databases, REVISION), "redis": check_redis(here.store)})
_background = Kept(lambda here: check_background(here.databases))


def live() -> Response:
    """The process answers. Depends on nothing else, so that a database outage restarts no web server."""
    return json_answer({"status": "ok"})


def ready() -> Response:
    """Requests can be served: the database answers with our schema. Without Redis they can, more strictly."""
    findings = _needed.get(runtime())
    database_is_up = findings["database"].status == "ok"
    status = "down" if not database_is_up else "ok" if findings["redis"].status == "ok" else "degraded"
    return _answer(status, findings, 200 if database_is_up else 503)


def health() -> Response:
    """Everything, background work included: 503 when any part is down."""
    findings = all_findings(runtime())
    is_down = any(finding.status == "down" for finding in findings.values())
    return _answer("down" if is_down else "ok", findings, 503 if is_down else 200)


def all_findings(here: Runtime) -> dict[str, Finding]:
    """What each part answered within the last second: database, redis, worker, scheduler."""
    return {**_needed.get(here), **_background.get(here)}


def _answer(status: str, findings: dict[str, Finding], code: int) -> Response:
    body: dict[str, Any] = {
        "status": status,
        "product": PRODUCT_NAME,
        "version": PRODUCT_VERSION,
        "dependencies": {name: finding.shown() for name, finding in findings.items()},
    }
    return json_answer(body, code)


routes.add("/livez", view=live, guard=PUBLIC, limit=Limit.NONE)
routes.add("/readyz", view=ready, guard=PUBLIC, limit=Limit.NONE)
routes.add(
    "/api/health",
    view=health,
    guard=PUBLIC,
    limit=Limit.NONE,
    operation=Operation("Each dependency and its latency", "health", {200: Health, 503: Health}),
)
