"""What every model shares: the declarative base, identifiers, and the naming of constraints."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

import uuid_utils.compat
from sqlalchemy import DateTime, MetaData, Text, Uuid, func
from sqlalchemy.orm import DeclarativeBase, mapped_column

# Alembic can only drop what has a name, and a violated constraint must say which rule it was.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

VERSION_MAX = 2**31 - 1  # of every row's version: PostgreSQL's integer


class Base(DeclarativeBase):
    """Plain declarative base: Flask-SQLAlchemy takes it in web; tasks and the CLI need no Flask."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own way to declare it)
        uuid.UUID: Uuid(),
        datetime: DateTime(timezone=True),
        str: Text(),
    }


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): unguessable in its low 62 bits, and ordered by time, so indexes grow at one end."""
    return uuid_utils.compat.uuid7()


PrimaryKey = Annotated[uuid.UUID, mapped_column(primary_key=True, default=new_id)]
CreatedAt = Annotated[datetime, mapped_column(server_default=func.now())]
