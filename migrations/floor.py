"""Which programs a schema serves, as migrations say it (``models/schema_floor.py``), before any of them has run."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from config import ConfigurationError
from migrations.run import alembic_config, current, head

FIRST = "0037"  # whose schema says which programs it serves, as the first
RAISES = re.compile(r"UPDATE schema_floor SET revision = '(\d{4})'")


def revisions(since: str) -> Iterator[tuple[str, str]]:
    """(revision before, revision), oldest first, of those after ``since``."""
    script = ScriptDirectory.from_config(alembic_config())
    for each in reversed(list(script.walk_revisions())):
        if each.revision > since:
            yield str(each.down_revision), each.revision


def sql_of(before: str, revision: str) -> str:
    """The statements that bring a schema from ``before`` to ``revision``, time-outs included."""
    written = io.StringIO()
    config = alembic_config()
    config.output_buffer = written
    command.upgrade(config, f"{before}:{revision}", sql=True)
    return written.getvalue()


def floor_raised(since: str) -> str | None:
    """The oldest program that the newest schema serves, where a migration after ``since`` says so."""
    raised = (RAISES.search(sql_of(before, revision)) for before, revision in revisions(since))
    return max((each[1] for each in raised if each is not None), default=None)


def floor() -> str:
    """The oldest program that the newest schema serves."""
    return floor_raised(FIRST) or FIRST


def refuse_to_strand(engine: Engine) -> str:
    """Says that the program which the database's schema was made for works on this program's schema too. Raises
    ConfigurationError where it would not: then both can't run side by side."""
    with engine.connect() as connection:
        found = current(connection)
    if found is None:
        return "The database is empty: nobody works with it."
    if found >= head():
        return f"The schema is at {found} already."
    if found < FIRST:
        raise ConfigurationError(
            f"the release that serves is of schema {found} and knows no later one: stop it, and run `sigilo db upgrade`"
        )
    raised = floor_raised(found)
    if raised is not None and raised > found:
        raise ConfigurationError(
            f"the release that serves (schema {found}) would not work on this one's, which serves programs of {raised}"
            " or later: release one between the two first, or stop what serves and run `sigilo db upgrade`"
        )
    return f"Programs of schema {found} work on {head()} too."
