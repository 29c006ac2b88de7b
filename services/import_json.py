"""Strict JSON for files that strangers made: what is ambiguous, unbounded or unstorable is refused.

Python's own parser takes duplicate keys, NaN and lone surrogates, and its recursion is as deep as the input;
PostgreSQL refuses NUL. RFC 8259 calls duplicate names' meaning undefined, and two readers that disagree
about a dose are worse than none, so such input is refused as a whole.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

DEPTH_MAX = 100
# Possessive, and at home with a string that never ends: no input makes it look at a byte twice.
STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}|\\u[dD][c-fC-F][0-9a-fA-F]{2}")
NUL_ESCAPE = b"\\u0000"
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
BOM = b"\xef\xbb\xbf"


class JsonRefused(ValueError):
    """The bytes are no JSON that Sigilo reads. The text says why and never repeats the input's values."""

    def __init__(self, reason: str, *, line: int = 1, pointer: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line  # counted from 1 within the bytes that were given
        self.pointer = pointer


def read_json(data: bytes) -> Any:
    """The value that ``data`` (UTF-8, with or without a byte order mark) encodes.

    Raises JsonRefused for anything that RFC 8259 does not allow, and for duplicate keys, more than
    ``DEPTH_MAX`` levels, NUL and lone surrogates, numbers outside a double's range or of over 4,300 digits.
    """
    data = data.removeprefix(BOM)
    if data.count(b"{") + data.count(b"[") > DEPTH_MAX:
        _check_depth(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonRefused("not valid UTF-8", line=data.count(b"\n", 0, error.start) + 1) from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        raise JsonRefused(f"not well-formed JSON: {_described(error)}", line=error.lineno) from None
    except RecursionError:
        raise JsonRefused(f"nested deeper than {DEPTH_MAX} levels") from None
    if NUL_ESCAPE in data or SURROGATE_ESCAPE.search(data):
        refuse_unstorable(value)
    return value


def refuse_unstorable(value: Any) -> None:
    """Raises JsonRefused, with the pointer, for a text or key with NUL or half a surrogate pair in it."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        pointer, item = stack.pop()
        if isinstance(item, str):
            if UNSTORABLE.search(item):
                raise JsonRefused("a text has a character that cannot be stored (NUL or half a pair)", pointer=pointer)
        elif isinstance(item, list):
            stack.extend((f"{pointer}/{number}", child) for number, child in enumerate(item))
        elif isinstance(item, dict):
            for key, child in item.items():
                if UNSTORABLE.search(key):
                    raise JsonRefused("a key has a character that cannot be stored", pointer=pointer)
                stack.append((f"{pointer}/{safe_key(key)}", child))


def safe_key(key: object) -> str:
    """A key for a JSON pointer that people will read: an unusual one could hold anything, so it is replaced."""
    text = str(key)
    return text if PLAIN_KEY.fullmatch(text) or text.isdigit() else "?"


def _check_depth(data: bytes) -> None:
    brackets = STRINGS.sub(b"", data).translate(None, NOT_BRACKETS)
    if max(accumulate(map(STEP.__getitem__, brackets)), default=0) > DEPTH_MAX:
        raise JsonRefused(f"nested deeper than {DEPTH_MAX} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonRefused(f'the key "{safe_key(key)}" stands twice in one object')
            seen.add(key)
    return value


def _no_constant(_: str) -> NoReturn:
    raise JsonRefused("not well-formed JSON: NaN and Infinity are no JSON numbers")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise JsonRefused("a number is too large")
    return value


def _int(digits: str) -> int:
    if len(digits) > 4_300:
        raise JsonRefused("a number has too many digits")
    return int(digits)


def _described(error: json.JSONDecodeError) -> str:
    """Python's message (it names the rule, never the input), with where it stood."""
    message = error.msg.split(":")[0].rstrip(" .")
    return f"{message[:1].lower()}{message[1:]} at column {error.colno}"
