"""Answers of the JSON API, written by orjson or passed on as the JSON that PostgreSQL built."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request

from observability.metrics import MASKS

JSON = "application/json"


def json_answer(value: Any, status: int = 200, *, etag: str | None = None, location: str | None = None) -> Response:
    """``value`` as JSON. ``etag`` in quotes; ``location`` a path."""
    answer = Response(orjson.dumps(value, option=orjson.OPT_UTC_Z), status, mimetype=JSON)
    _tag(answer, etag)
    if location is not None:
        answer.headers["Location"] = location
    return answer


def json_text(text: str, *, etag: str | None = None) -> Response:
    """A representation that is JSON already; 304 when the caller has this very view of it (RFC 9110 13.1.2)."""
    if etag is not None and etag_matches(request.headers.get("If-None-Match"), etag):
        return Response(status=304, headers={"ETag": etag})
    answer = Response(text, mimetype=JSON)
    _tag(answer, etag)
    return answer


def _tag(answer: Response, etag: str | None) -> None:
    if etag is not None:
        answer.headers["ETag"] = etag
        if "-" in etag:  # "<version>-<mask>": somebody saw less than there is
            MASKS.inc()


def json_page(data: str, next_cursor: str | None) -> Response:
    """``{"data": […], "nextCursor": …}`` around a JSON array."""
    return Response(f'{{"data":{data},"nextCursor":{orjson.dumps(next_cursor).decode()}}}', mimetype=JSON)


def no_content() -> Response:
    return Response(status=204)


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether ``If-None-Match`` names ``etag``, by weak comparison."""
    if header is None:
        return False
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in header.split(","))
