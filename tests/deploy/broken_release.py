"""A release that starts and is ready, and whose sign-in page is broken: what `sigilo smoke` is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wsgi import app as whole


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/login":
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"broken"]
    return whole(environ, start_response)
