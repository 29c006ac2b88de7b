"""The canonical form of a sealed event, and the hash that chains it to the one before.

This page is all that a third party needs to check an exported trail:

*Canonical form.* One JSON object (RFC 8259) in the canonical form of RFC 8785: UTF-8, no white space, members
sorted by name. Its members are the columns of ``audit_trail`` under their own names, ``hash`` left out, and
every column that is NULL left out. Values by column:

- ``sequence``, ``from_version``, ``to_version``: numbers (integers below 2^53);
- ``occurred_at``, ``sealed_at``: strings, RFC 3339 in UTC with six decimals, ``2026-11-24T10:42:00.000000Z``;
- ``entity_ids``: an array of strings, in the order it was stored in;
- ``changes``: an array of objects ``{"field", "before", "after"}`` whose values are strings or null;
- all others: strings. UUIDs are lower-case with hyphens (RFC 9562); ``ip`` is an address as PostgreSQL writes
  it: RFC 5952, IPv4-mapped ones with dots, and no prefix length where it is one host (``203.0.113.7``,
  ``2001:db8::1``, ``::ffff:192.0.2.1``).

*Chain.* ``hash(n) = SHA-256(hash(n-1) ‖ canonical(n))``, where ``hash(0)`` is 32 zero bytes and ``n`` is the
event's ``sequence``, which starts at 1 and has no gaps. The same canonical bytes are what RFC 6962 leaves are
hashed over, so a tree can be laid over a trail that was sealed before there was one.

A column added later is NULL in what was sealed before, and so changes no hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import orjson

from services.audit_event import EVENT_COLUMNS

GENESIS = bytes(32)
HASH_BYTES = 32

# Every column but the hash, in the order of the canonical form.
COLUMNS = tuple(sorted((*EVENT_COLUMNS, "sealed_at", "sequence")))
SEALED_AT, SEQUENCE, ID = (COLUMNS.index(name) for name in ("sealed_at", "sequence", "id"))

# Text of every column exactly as PostgreSQL writes it: nothing is lost in a client's types on the way, and
# what was tampered with into something that no client type holds can still be told apart.
TEXT_SETTINGS = "SET LOCAL DateStyle TO 'ISO, YMD'; SET LOCAL TimeZone TO 'UTC'; SET LOCAL bytea_output TO 'hex'"

Row = Sequence[str | None]


def text_columns(alias: str, **instead: str) -> str:
    """SQL: ``COLUMNS`` of ``alias`` as text, for ``canonical``. ``instead`` gives other SQL for a column.

    The session must have ``TEXT_SETTINGS``.
    """
    return ", ".join(instead.get(name, f"{alias}.{name}::text") for name in COLUMNS)


def canonical(row: Row) -> bytes:
    """The canonical form of an event whose ``COLUMNS`` are given as PostgreSQL's text (None for NULL).

    Raises ValueError when ``changes`` is no JSON that an event can hold; the outbox accepts no such row.
    """
    event = {
        name: value if convert is None else convert(value)
        for name, convert, value in zip(COLUMNS, _CONVERTERS, row, strict=True)
        if value is not None
    }
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def link(previous: bytes, event: bytes) -> bytes:
    """The hash of the event with canonical form ``event`` after the one whose hash is ``previous``."""
    return hashlib.sha256(previous + event).digest()


def rfc3339(text: str) -> str:
    """``2026-11-24 10:42:00.5+00`` → ``2026-11-24T10:42:00.500000Z``; anything else stays what it is."""
    if text[10:11] != " " or not text.endswith("+00"):
        return text
    return f"{text[:10]}T{text[11:19]}.{text[20:-3]:0<6}Z"


def _ids(text: str) -> list[str]:
    """``{a,b}`` → [a, b]."""
    inside = text[1:-1]
    return inside.split(",") if inside else []


def _address(text: str) -> str:
    """The cast to text writes the prefix length of a single host too; the canonical form doesn't."""
    return text.removesuffix("/128" if ":" in text else "/32")


_CONVERT: dict[str, Callable[[str], object]] = {
    "occurred_at": rfc3339,
    "sealed_at": rfc3339,
    "sequence": int,
    "entity_ids": _ids,
    "from_version": int,
    "to_version": int,
    "changes": orjson.loads,
    "ip": _address,
}
_CONVERTERS = tuple(_CONVERT.get(name) for name in COLUMNS)
