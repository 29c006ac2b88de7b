"""A span a statement, at psycopg: below SQLAlchemy, whose instrumentor refuses 2.1, and below our raw connections.

OpenTelemetry's own instrumentor for psycopg records exceptions with their texts, which quote rows, renders composed
statements with their values, and does not see statements that go past cursors.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.sql import Composable

from observability.tracing import child_span, is_recording

POSTGRESQL = "postgresql"
MOST_TEXT = 2_000
BLOCK = r"/\*(?:(?!/\*|\*/).)*(?:\*/|\Z)"
for _ in range(3):  # comments stand in comments, as deep as anybody writes them
    BLOCK = rf"/\*(?:(?!/\*|\*/).|{BLOCK})*(?:\*/|\Z)"
ESCAPED = r"'(?:[^'\\]|\\.|'')*(?:'|\Z)"
# Values are bound; whatever a statement spells out all the same is not shown either. Each begins where none of the
# others goes on, so they are looked for together; what has no end goes on to the statement's.
SPELT_OUT = re.compile(
    rf"""
    (?P<comment>--[^\n]*|{BLOCK})
    | (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?<![\w$])[eE]{ESCAPED}(?:\s*\n\s*{ESCAPED})*
    | '(?:[^']|'')*(?:'|\Z)
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?<![\w$])\d[\w.]*
    """,
    re.DOTALL | re.VERBOSE,
)
SPACE = re.compile(r"\s+")

_traced: set[tuple[type, str]] = set()


def trace_statements(*methods: tuple[type, str]) -> None:
    """Make each of ``methods``, beside psycopg's own, a span where something is being traced; their first argument is
    the statement. For the whole process, and once."""
    ours = [(owner, name) for owner in (psycopg.Cursor, psycopg.ServerCursor) for name in ("execute", "executemany")]
    for owner, name in [*ours, *methods]:
        if (owner, name) not in _traced:
            _traced.add((owner, name))
            setattr(owner, name, _with_span(getattr(owner, name)))
    if (psycopg.Connection, "commit") not in _traced:
        _traced.add((psycopg.Connection, "commit"))
        setattr(psycopg.Connection, "commit", _commit_with_span(psycopg.Connection.commit))  # noqa: B010  (a method)


def _with_span(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def traced(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_recording():
            return method(self, statement, *args, **kwargs)
        operation, text = describe(written(statement))
        about = {"db.system.name": POSTGRESQL, "db.operation.name": operation, "db.query.text": text}
        with child_span(operation, about):
            return method(self, statement, *args, **kwargs)

    return traced


def _commit_with_span(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def traced(self: Any) -> None:
        with child_span("COMMIT", {"db.system.name": POSTGRESQL, "db.operation.name": "COMMIT"}):
            method(self)

    return traced


def written(statement: Any) -> str:
    """The text of whatever psycopg takes for a statement."""
    if isinstance(statement, Composable):
        return statement.as_string(None)
    return statement.decode(errors="replace") if isinstance(statement, bytes) else str(statement)


@functools.lru_cache(maxsize=512)
def describe(statement: str) -> tuple[str, str]:
    """``statement``'s first word, and its text with ``?`` for every value that stands in it."""
    text = SPACE.sub(" ", SPELT_OUT.sub(_instead, statement)).strip()
    word = text.split(" ", 1)[0].rstrip(";(").upper()
    return word if word.isalpha() else "SQL", text[:MOST_TEXT]


def _instead(found: re.Match[str]) -> str:
    if found["comment"] is not None:
        return " "
    return found["name"] or "?"
