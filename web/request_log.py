"""One line of log a request: which rule, by whom, what came of it, how long it took.

The rule and never the path, which carries ids; no query, no body, no name of a patient.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Request, Response

from observability.logging import write_line

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def log_request(incoming: Request, response: Response, state: Any) -> None:
    """Write the line. ``state`` is the request's ``g``."""
    actor, method = state.get("actor"), incoming.environ["REQUEST_METHOD"]
    write_line(
        {
            "level": "info",
            "event": "request",
            "requestId": state.request_id,
            "method": method if method in KNOWN_METHODS else "OTHER",
            "route": None if state.route is None else state.route.rule,
            "status": response.status_code,
            "durationMs": round((time.perf_counter() - state.started) * 1000, 2),
            "userId": None if actor is None else str(actor.user_id),
            "role": None if actor is None else actor.role.value,
        }
    )
