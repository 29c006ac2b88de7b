"""The one reader of request bodies and query strings. Routes call it after the guard has let them in.

Strict in this order: type (415), size (413), well-formed JSON (400), nesting (400), an object (422), then the
model (422, a JSON pointer per error). Values keep every character; messages never repeat them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from services.errors import FieldError, Invalid
from web.problems import HTTP_DETAILS, BadRequest

MAX_BYTES = 1024 * 1024
QUERIES_KEPT = 256  # of what callers asked for last, each at most as long as the server takes a request line
MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1
NUMBER_TEXT_MAX = 400

NOT_OBJECT = "The body must be a JSON object."
NOT_JSON = "The body is not well-formed JSON (RFC 8259, UTF-8, no name twice)."
TOO_DEEP = f"The body is nested more than {MAX_DEPTH} deep."
FIELDS_WRONG = "The request has fields that can't be accepted."
NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")

# What is wrong, without what was sent: pydantic's own sentences quote characters of it.
MESSAGES = {
    "missing": "required",
    "extra_forbidden": "not a known field",
    "string_type": "text",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "not in the expected form",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "enum": "one of {expected}",
    "literal_error": "one of {expected}",
    "list_type": "a list",
    "too_long": "at most {max_length} items",
    "too_short": "at least {min_length} items",
    "uuid_type": "an id (UUID)",
    "uuid_parsing": "an id (UUID)",
    "timezone_aware": "a time with its zone, such as 2026-11-24T10:42:00Z",
    "model_type": "an object",
    "dict_type": "an object",
}
DATE_MESSAGE = "a date such as 2026-11-24"
TIME_MESSAGE = "a time such as 2026-11-24T10:42:00Z"

Model = TypeVar("Model", bound=BaseModel)


def read_body(model: type[Model], *, max_bytes: int = MAX_BYTES) -> Model:
    """The request's body as ``model``; ``model_fields_set`` says which fields were sent.

    Raises BadRequest (400, 413, 415) or Invalid (422).
    """
    return as_model(model, read_json(max_bytes))


def read_json(max_bytes: int = MAX_BYTES) -> bytes:
    """The body as bytes that are a strict JSON object. A route that must first see whether the caller may touch
    the object at all reads with this and validates with ``as_model`` afterwards."""
    data = read_bytes(max_bytes)
    check_json(data)
    return data


def as_model(model: type[Model], data: bytes) -> Model:
    """``data`` from ``read_json`` as ``model``. Raises Invalid (422)."""
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise Invalid(FIELDS_WRONG, list(field_errors(error))) from None


def read_query(model: type[Model]) -> Model:
    """The query string as ``model``. An empty value counts as left out. Raises Invalid."""
    found: Model = _query_as(model, request.query_string)
    return found


@lru_cache(maxsize=QUERIES_KEPT)
def _query_as(model: type[Model], query: bytes) -> Model:
    """Whoever looks for news asks the same again and again. Models are frozen, so one may be many callers'."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(query.decode(), keep_blank_values=True, errors="werkzeug.url_quote"):
        if name in values:
            raise Invalid(FIELDS_WRONG, [FieldError(pointer([name]), "given more than once")])
        values[name] = value
    values = {name: value for name, value in values.items() if value != ""}
    _refuse_nul(values)
    try:
        return model.model_validate_strings(values)
    except ValidationError as error:
        raise Invalid(FIELDS_WRONG, list(field_errors(error))) from None


def read_bytes(max_bytes: int = MAX_BYTES) -> bytes:
    """The raw body of a JSON request. Raises BadRequest: 415 for another type, 413 when it is too long."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in ("utf-8", "utf8"):
        raise BadRequest(415, HTTP_DETAILS[415])
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadRequest(415, "The body must not be compressed.")
    # One byte more than is accepted: a body without a length is silently cut off where this ends.
    request.max_content_length = max_bytes + 1
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise BadRequest(413, HTTP_DETAILS[413]) from None
    if len(data) > max_bytes:
        raise BadRequest(413, HTTP_DETAILS[413])
    return data


def check_json(data: bytes) -> dict[str, Any]:
    """``data`` as an object. Raises BadRequest (400) or Invalid (422) for anything but strict JSON.

    orjson goes first: it is strict about encoding and numbers and bounded in depth, so the second reader,
    which sees names given twice, never meets a body that could exhaust the stack.
    """
    try:
        orjson.loads(data)
        value = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_constant
        )
    except (ValueError, RecursionError):
        raise BadRequest(400, NOT_JSON) from None
    _check_depth(value)
    if not isinstance(value, dict):
        raise Invalid(NOT_OBJECT, [FieldError("", "an object")])
    if b"\\u0000" in data:
        _refuse_nul(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _integer(text: str) -> int:
    if len(text) > 20 or not -MAX_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        raise ValueError("beyond 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text) if len(text) <= NUMBER_TEXT_MAX else float("inf")
    if value in (float("inf"), float("-inf")):
        raise ValueError("beyond double precision")
    return value


def _constant(text: str) -> float:
    raise ValueError("not a number of JSON")


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise BadRequest(400, TOO_DEEP)


def _refuse_nul(value: Any) -> None:
    """Raise Invalid for a NUL character anywhere: no text of ours holds one, and PostgreSQL stores none."""
    errors = [FieldError(pointer(path), "text without NUL characters") for path in _nul_paths(value, [])]
    if errors:
        raise Invalid(FIELDS_WRONG, errors)


def _nul_paths(value: Any, path: list[str | int]) -> Iterator[list[str | int]]:
    if isinstance(value, str):
        if "\0" in value:
            yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            if "\0" in name:
                yield path
            yield from _nul_paths(inner, [*path, name])
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _nul_paths(inner, [*path, number])


def field_errors(error: ValidationError) -> Iterator[FieldError]:
    """Each of pydantic's errors as a pointer and a message of ours."""
    for item in error.errors(include_url=False, include_input=False):
        path = [part for part in item["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
        yield FieldError(pointer(path), _message(str(item["type"]), dict(item.get("ctx") or {})))


def _message(kind: str, context: dict[str, Any]) -> str:
    if kind == "value_error":
        # Raised by our own models, whose sentences hold no input.
        return str(context["error"])
    if kind.startswith("datetime"):
        return TIME_MESSAGE
    if kind.startswith("date"):
        return DATE_MESSAGE
    template = MESSAGES.get(kind, "not valid")
    try:
        return template.format(**context)
    except (KeyError, IndexError):
        return "not valid"


def pointer(path: list[Any]) -> str:
    """RFC 6901. A name that is none of ours could be anything, a person's name included: its parent is named."""
    parts = []
    for part in path:
        if isinstance(part, str) and not NAME.match(part):
            break
        parts.append(f"/{part}")
    return "".join(parts)
