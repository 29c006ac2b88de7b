"""Which programs a schema serves: while one release takes over from another, both work on one database.

Migrations expand: what they add, the programs before them do without. One that contracts, and takes away what an older
program uses, also raises the floor: the revision of the oldest program that the schema still serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base

REVISION = "SELECT version_num FROM alembic_version"
FLOOR = "SELECT revision FROM schema_floor"

# Runs a statement that gives one row of one column at most, and gives the row.
Ask = Callable[[str], "tuple[Any, ...] | None"]


class SchemaFloor(Base):
    """The revision of the oldest program that works on this schema, one row: migrations write it."""

    __tablename__ = "schema_floor"

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    revision: Mapped[str]

    __table_args__ = (CheckConstraint("is_only", "one_row"),)


def is_newer(ask: Ask, own: str) -> bool:
    """Whether the schema is one of a later program than that of revision ``own``, whose migrations it does not have.

    Revisions are numbers of four digits. Raises the driver's UndefinedTable where there is no schema.
    """
    row = ask(REVISION)
    return row is not None and str(row[0]) > own


def obstacle(ask: Ask, own: str) -> str | None:
    """Why the program of revision ``own`` can't work on this schema, and what to do; None where it can.

    Raises the driver's UndefinedTable where there is no schema.
    """
    row = ask(REVISION)
    if row is None or str(row[0]) < own:
        return "another schema than this program's: run `sigilo db upgrade`"
    if str(row[0]) == own:
        return None
    floor = ask(FLOOR)
    if floor is None or str(floor[0]) > own:
        least = "" if floor is None else f" {floor[0]} or later"
        return (
            f"the schema is {row[0]} and serves programs of{least}, this one is of {own}: start the newer release,"
            " or restore a backup of before"
        )
    return None
