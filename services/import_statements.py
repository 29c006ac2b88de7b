"""Many rows in one statement, for roles that row-level security binds.

PostgreSQL refuses COPY into a table with row-level security, so a batch goes over as one JSON document that
``json_populate_recordset`` turns back into rows of the table's own types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from services.import_entries import Key
from services.import_rules import is_uuid

NATIVE = "sigilo"  # source of what was written here, in our own exports; its ids are those of the rows

Connection = psycopg.Connection[Any]
Row = dict[str, Any]


class RowChanged(Exception):
    """A row was changed by somebody else between looking and writing: look again."""


def insert_rows(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert ``rows`` (column → value, the same columns in each) into ``table``."""
    if not rows:
        return
    names = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    statement = sql.SQL("INSERT INTO {table} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{table}, %s)")
    connection.execute(statement.format(table=sql.Identifier(table), names=names), [_json(rows)])


def update_rows(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set the columns of ``rows`` in the rows with their ``id``, whose version must be one less than theirs.

    Tables without a version take the columns as they are. Raises RowChanged when a row is not as it was.
    """
    for row in rows:
        names = [name for name in row if name != "id"]
        assignments = sql.SQL(", ").join(
            sql.SQL("{name} = r.{name}").format(name=sql.Identifier(name)) for name in names
        )
        guard = sql.SQL("AND t.version = r.version - 1" if "version" in row else "")
        statement = sql.SQL(
            "UPDATE {table} t SET {assignments}{updated} "
            "FROM json_populate_recordset(NULL::{table}, %s) r WHERE t.id = r.id {guard}"
        ).format(
            table=sql.Identifier(table),
            assignments=assignments,
            updated=sql.SQL(", updated_at = now()" if "version" in row else ""),
            guard=guard,
        )
        if connection.execute(statement, [_json([row])]).rowcount != 1:
            raise RowChanged


def look_up(connection: Connection, table: str, columns: Sequence[str], keys: Iterable[Key]) -> dict[Key, Row]:
    """The rows of ``table`` that came from these sources before, with ``id`` and ``columns``, by their keys.

    A key of ours (``sigilo``) also finds the row that was written here and has that id.
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    selected = sql.SQL(", ").join(sql.SQL("t.") + sql.Identifier(name) for name in ("id", *columns))
    joins = [sql.SQL("t.source = k.source AND t.source_id = k.id")]
    if any(key.source == NATIVE for key in wanted):
        joins.append(sql.SQL("t.id = k.row_id AND t.source IS NULL"))
    parts = [
        sql.SQL("SELECT k.number, {columns} FROM k JOIN {table} t ON {join}").format(
            columns=selected, table=sql.Identifier(table), join=join
        )
        for join in joins
    ]
    with_keys = sql.SQL(
        "WITH k AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::uuid[]) WITH ORDINALITY "
        "AS k(source, id, row_id, number)) "
    )
    row_ids = [key.id if key.source == NATIVE and is_uuid(key.id) else None for key in wanted]
    parameters = [[key.source for key in wanted], [key.id for key in wanted], row_ids]
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(with_keys + sql.SQL(" UNION ALL ").join(parts), parameters)
        return {wanted[row.pop("number") - 1]: row for row in cursor}


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(list(rows), default=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(f"no JSON for {type(value).__name__}")
