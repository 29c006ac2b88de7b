"""Answers of the JSON API, written by orjson or passed on as the JSON that PostgreSQL built.

Every read has an entity tag. Of one record or patient it is the version and the mask; of everything else a keyed digest
of what this caller sees, so that it tells nobody what is in there. Either way the read is made, masked and audited
before the tags are compared: a 304 saves the way, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson
from flask import request

from observability.metrics import MASKS
from web.answer import Answer
from web.proxies import real
from web.runtime import runtime

JSON = "application/json"
READS = ("GET", "HEAD")
TAG_BYTES = 16


def json_answer(value: Any, status: int = 200, *, etag: str | None = None, location: str | None = None) -> Answer:
    """``value`` as JSON. ``etag`` in quotes; ``location`` a path."""
    answer = _answer(orjson.dumps(value, option=orjson.OPT_UTC_Z), status, etag)
    if location is not None:
        answer.headers["Location"] = location
    return answer


def json_text(text: bytes, *, etag: str | None = None) -> Answer:
    """A representation that is JSON already."""
    return _answer(text, 200, etag)


def json_page(data: bytes, next_cursor: str | None) -> Answer:
    """``{"data": […], "nextCursor": …}`` around a JSON array."""
    return _answer(b'{"data":%b,"nextCursor":%b}' % (data, orjson.dumps(next_cursor)), 200, None)


def no_content() -> Answer:
    return Answer(status=204)


def _answer(body: bytes, status: int, etag: str | None) -> Answer:
    """304 when a reader has this very view of it already (RFC 9110 13.1.2)."""
    environ = real(request).environ
    if status == 200 and environ["REQUEST_METHOD"] in READS:
        etag = etag or digest_tag(body)
        if etag_matches(environ.get("HTTP_IF_NONE_MATCH"), etag):
            return Answer(status=304, headers={"ETag": etag})
    answer = Answer(body, status, content_type=JSON)
    if etag is not None:
        answer.headers.add("ETag", etag)  # a new answer has none
        if "-" in etag:  # "<version>-<mask>": somebody saw less than there is
            MASKS.inc()
    return answer


def digest_tag(body: bytes) -> str:
    """The entity tag of what has no version: HMAC-SHA-256 of it, cut, in hex and quotes. Keyed, because tags stand in
    logs on the way, where a digest could be tested for a guess."""
    return f'"{hmac.digest(runtime().tag_key, body, hashlib.sha256)[:TAG_BYTES].hex()}"'


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether ``If-None-Match`` names ``etag``, by weak comparison."""
    if header is None:
        return False
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in header.split(","))
