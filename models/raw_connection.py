"""A psycopg connection with a short way for the statements that every request runs.

psycopg's cursor spends 80 µs of Python on a statement, because it can do so much more: pipelines, several results,
rows a few at a time. The same statement through libpq's own calls, with psycopg's adapters at both ends, takes about
half. They are kept, since finding out anew how each type is written is most of what they cost, and values come as
PostgreSQL holds them, not as text: together that saves a tenth of a list's Python (ADR 4). JSON that is only passed on
is asked for as ``bpchar``, which costs PostgreSQL nothing (to ``bytea`` it would read all of it once more) and no
column of ours is: that comes as bytes, which never become a ``str`` in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.types.string import ByteaBinaryLoader

# Each takes memory in the server. Our reads are fewer; what comes beyond is prepared anew at every call.
STATEMENTS_MAX = 200
PARAMETER = re.compile(r"%\((\w+)\)s")
BINARY = Format.BINARY
SUCCESSES = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that the server has parsed, and the names of its columns."""

    name: bytes
    columns: tuple[str, ...]


class RawConnection(psycopg.Connection[Any]):
    """For one thread at a time, in autocommit: ``first_row`` begins no transaction by itself.

    psycopg must prepare nothing of its own here (``prepare_threshold``): at a rollback it would have the server
    forget every prepared statement, these included.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._statements: dict[tuple[bytes, tuple[int, ...]], Prepared] = {}
        self.adapters.register_loader("bpchar", ByteaBinaryLoader)
        self._known_types = Transformer(self)  # kept, for it remembers how each type is written and read
        self.ends_at = inf  # by the clock of whoever keeps it

    def first_row(self, statement: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """The first row that ``statement`` gives, its ``%(name)s`` bound to ``parameters``; None when it gives none.

        Raises psycopg.Error, as a cursor would.
        """
        numbered, names = numbered_parameters(statement)
        adapters = self._known_types
        values = adapters.dump_sequence([parameters[name] for name in names], [PyFormat.AUTO] * len(names))
        prepared = self._prepare_once(numbered, adapters.types or ())
        # libpq takes None for NULL; only psycopg's annotation says otherwise.
        result = _checked(self.pgconn.exec_prepared(prepared.name, values, adapters.formats, BINARY))  # type: ignore[arg-type]
        if result.ntuples == 0:
            return None
        try:
            adapters.set_pgresult(result)
            return dict(zip(prepared.columns, adapters.load_row(0, tuple) or (), strict=True))
        finally:
            adapters.set_pgresult(None)  # an idle connection holds nobody's data

    def _prepare_once(self, statement: bytes, types: tuple[int, ...]) -> Prepared:
        found = self._statements.get((statement, types))
        if found is not None:
            return found
        has_room = len(self._statements) < STATEMENTS_MAX
        name = b"first_row_%d" % len(self._statements) if has_room else b""  # the nameless one may be replaced
        _checked(self.pgconn.prepare(name, statement, types))
        described = _checked(self.pgconn.describe_prepared(name))
        columns = tuple((described.fname(place) or b"").decode() for place in range(described.nfields))
        prepared = Prepared(name, columns)
        if has_room:
            self._statements[statement, types] = prepared
        return prepared


@lru_cache(maxsize=1024)
def numbered_parameters(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """``statement`` with ``$1``, ``$2``, … for its ``%(name)s``, and the names in that order."""
    places: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        return f"${places.setdefault(match[1], len(places) + 1)}"

    return PARAMETER.sub(place, statement).encode(), tuple(places)


def _checked(result: PGresult) -> PGresult:
    if result.status in SUCCESSES:
        return result
    if result.error_field(DiagnosticField.SQLSTATE) is None:
        # Said by libpq and not by the server: the connection broke.
        raise psycopg.OperationalError(result.get_error_message())
    raise errors.error_from_result(result)
