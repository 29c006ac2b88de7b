"""What to do with an entry whose (source, id) is known here already.

- Equal to the row: nothing.
- Equal to what the source said last time: nothing, whatever was corrected here since.
- Different, and nobody touched the row here since: it becomes the row's next version.
- Different, and the row was changed, inactivated or written here: refused. Neither may win silently.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from psycopg import sql

from models.user import IMPORT_USER_ID
from services.import_statements import Connection, Row

Content = dict[str, Any]


class Verdict(StrEnum):
    """The values of the last three are the reason that is given."""

    UNCHANGED = "unchanged"
    UPDATE = "update"
    WRITTEN_HERE = "it was written here and differs: an import changes nothing that it did not bring"
    INACTIVE = "it was inactivated here, and differs at its source: restore it first, or leave it"
    CHANGED_HERE = "it was changed here since it was imported, and at its source too: merge the two by hand"

    @property
    def is_refusal(self) -> bool:
        return self not in (Verdict.UNCHANGED, Verdict.UPDATE)


def weigh(row: Row, before: Content, after: Content, last_import: Callable[[], tuple[int, Content] | None]) -> Verdict:
    """The rule above. ``before`` is the row's content, ``after`` the entry's, in the same terms.

    ``last_import`` gives the newest version that an import wrote (its number and content), if any.
    """
    before, after = _said(before), _said(after)
    if before == after:
        return Verdict.UNCHANGED
    if row["source"] is None:
        return Verdict.WRITTEN_HERE
    last = last_import()
    if last is not None and _said(last[1]) == after:
        return Verdict.UNCHANGED
    if row["deleted_at"] is not None:
        return Verdict.INACTIVE
    return Verdict.UPDATE if last is not None and last[0] == row["version"] else Verdict.CHANGED_HERE


def last_import(connection: Connection, table: str, column: str, row_id: uuid.UUID) -> tuple[int, Content] | None:
    """Number and content of the newest version of a row that an import wrote; None when none did."""
    found = connection.execute(
        sql.SQL(
            "SELECT version, content FROM {table} WHERE {column} = %s AND changed_by = %s ORDER BY version DESC LIMIT 1"
        ).format(table=sql.Identifier(table), column=sql.Identifier(column)),
        [row_id, IMPORT_USER_ID],
    ).fetchone()
    return None if found is None else (found[0], found[1])


def _said(content: Content) -> Content:
    """Content without the difference between nothing and blanks, which no format carries."""
    return {name: None if isinstance(value, str) and not value.strip() else value for name, value in content.items()}
