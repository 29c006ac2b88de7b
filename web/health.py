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
from services.health import (
    Finding,
    check_background,
    check_database,
    check_model,
    check_redis,
    check_worker,
    worst,
)
from web.api.answers import json_answer
from web.api.schemas import Shown
from web.draining import is_draining
from web.guards import PUBLIC, Limit, Operation, Routes
from web.runtime import Runtime, runtime

KEPT_SECONDS = 1.0
FIRST_SECONDS = 0.2  # that a page waits for what nothing depends on, when nothing is known of it yet

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


class Beside:
    """A result that no page waits for: it gets what was known a moment ago, and a thread asks anew."""

    def __init__(self, ask: Callable[[Runtime], Finding]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._known: dict[int, tuple[float, Finding]] = {}
        self._asking: threading.Thread | None = None

    def get(self, here: Runtime) -> Finding:
        with self._lock:
            asked_at, finding = self._known.get(id(here), (0.0, None))
            is_old = finding is None or time.monotonic() - asked_at > KEPT_SECONDS
            if is_old and (self._asking is None or not self._asking.is_alive()):
                self._asking = threading.Thread(target=self._refresh, args=[here], name="health", daemon=True)
                self._asking.start()
            asking = self._asking
        if finding is None and asking is not None:
            asking.join(FIRST_SECONDS)
            _, finding = self._known.get(id(here), (0.0, None))
        return finding or Finding("unknown")

    def _refresh(self, here: Runtime) -> None:
        finding = self._ask(here)
        self._known = {id(here): (time.monotonic(), finding)}


REVISION = newest_revision()
_needed = Kept(lambda here: {"database": check_database(here.databases, REVISION), "redis": check_redis(here.store)})
_background = Kept(lambda here: {"worker": check_worker(here.store), **check_background(here.databases)})
_model = Beside(lambda here: check_model(here.settings))


def live() -> Response:
    """The process answers. Depends on nothing else, so that a database outage restarts no web server."""
    return json_answer({"status": "ok"})


def ready() -> Response:
    """Requests can be served: the database answers with our schema. Without Redis they can, more strictly. A server
    that is about to end serves whatever still comes, and says here that nothing more should."""
    if is_draining():
        return _answer("draining", {}, 503)
    findings = _needed.get(runtime())
    database_is_up = findings["database"].status == "ok"
    status = "down" if not database_is_up else "ok" if findings["redis"].status == "ok" else "degraded"
    return _answer(status, findings, 200 if database_is_up else 503)


def all_findings(here: Runtime) -> dict[str, Finding]:
    """What each part answered within the last second: database, redis, worker, trail, scheduler, backups."""
    return {**_needed.get(here), **_background.get(here)}


def optional_findings(here: Runtime) -> dict[str, Finding]:
    """What is of use and may be away, where the clinic has it: health and readiness know nothing of it."""
    return {"model": _model.get(here)} if here.settings.ollama_url else {}


def health() -> Response:
    """Everything, background work included: 503 when any part is down. What is late or not known is said, and no
    reason to send people elsewhere."""
    findings = all_findings(runtime())
    status = worst(findings.values())
    return _answer(status, findings, 503 if status == "down" else 200)


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
