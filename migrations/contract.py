"""What a program's models use of the schema, written down for each revision that a release may be of
(``migrations/contracts/<revision>.json``), so that no later schema takes it away from a release that still runs.
``python -m migrations.contract`` writes this program's.

Only the models are looked at; statements written by hand are tried by `make compat`, which runs the former release.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.dialects import postgresql

import models
from migrations.floor import floor
from migrations.run import head

FOLDER = Path(__file__).parent / "contracts"
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

# Table → column → its type, with "null" behind it where the program may write none.
Contract = dict[str, dict[str, str]]


def used() -> Contract:
    """By the models of this program."""
    return {
        table.name: {
            column.name: f"{column.type.compile(DIALECT)}{' null' if column.nullable else ''}"
            for column in table.columns
        }
        for table in models.Base.metadata.sorted_tables
    }


def missing(connection: Connection, contract: Contract) -> list[str]:
    """What a program with ``contract`` would miss in the schema, or trip over."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    problems = []
    for table, columns in contract.items():
        if table not in tables:
            problems.append(f"{table} is gone")
            continue
        there = {column["name"]: column for column in inspector.get_columns(table)}
        for name, kind in columns.items():
            if name not in there:
                problems.append(f"{table}.{name} is gone")
                continue
            now = there[name]
            if (of := now["type"].compile(DIALECT)) != kind.removesuffix(" null"):
                problems.append(f"{table}.{name} was {kind} and is {of}")
            if kind.endswith(" null") and not now["nullable"]:
                problems.append(f"{table}.{name} may be left out no more")
        problems += [
            f"{table}.{name} is new and has to be given"
            for name, column in there.items()
            if name not in columns and not column["nullable"] and not _fills_itself(column)
        ]
    return problems


def _fills_itself(column: Any) -> bool:
    return any(column.get(key) for key in ("default", "identity", "computed"))


def contracts() -> dict[str, Contract]:
    """Revision → what its program uses."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}


def write() -> Path:
    """The contract of this program; those of programs below the floor are kept no longer."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.json"):
        if file.stem < floor():
            file.unlink()
    path = FOLDER / f"{head()}.json"
    path.write_text(json.dumps(used(), indent=1, sort_keys=True) + "\n")
    return path


if __name__ == "__main__":
    write()
