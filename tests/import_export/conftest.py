"""What import tests share: reading without a database, importing into an empty one, and what is in it then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from config import Principal, Settings
from models.engine import Databases
from services.import_entries import Entry, Ignored, Reject
from services.import_fhir import ReadingRules
from services.import_read import read_file
from services.import_run import run_import
from services.import_sources import from_paths
from services.import_spool import Unit, open_spool
from services.import_summary import ImportSummary

RULES = ReadingRules(ZoneInfo("America/Sao_Paulo"), datetime(2026, 11, 24, 12, tzinfo=UTC))
# What an export must carry over, in an order that does not depend on our own ids.
CONTENT = {
    "patients": """
        SELECT coalesce(source, 'sigilo') AS source, coalesce(source_id, id::text) AS key, full_name, social_name,
            mother_name, birth_date, birth_date_estimated, sex, cpf_index, cns_index, passport_index, nationality,
            phone, email, address, deceased_at
        FROM patients WHERE deleted_at IS NULL ORDER BY 1, 2""",
    "allergies": """
        SELECT coalesce(a.source, 'sigilo') AS source, coalesce(a.source_id, a.id::text) AS key,
            coalesce(p.source_id, p.id::text) AS patient, a.substance, a.reaction, a.severity, a.noted_at
        FROM allergies a JOIN patients p ON p.id = a.patient_id WHERE p.deleted_at IS NULL ORDER BY 1, 2""",
    "records": """
        SELECT coalesce(r.source, 'sigilo') AS source, coalesce(r.source_id, r.id::text) AS key,
            coalesce(p.source_id, p.id::text) AS patient, r.kind, r.title, r.diagnosis, r.treatment, r.notes,
            r.cid10_codes, r.priority, r.restricted, r.occurred_at, coalesce(o.source_id, o.id::text) AS amends
        FROM medical_records r JOIN patients p ON p.id = r.patient_id
        LEFT JOIN medical_records o ON o.id = r.amends_id WHERE r.deleted_at IS NULL ORDER BY 1, 2""",
}
TABLES = (
    "patients", "patient_versions", "allergies", "care_team_members", "medical_records", "record_versions",
    "import_rejects",
)  # fmt: skip


@dataclass
class Read:
    """What reading gave, before any database."""

    entries: list[Entry] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def of(self, kind: type[Any]) -> list[Any]:
        return [entry for entry in self.entries if isinstance(entry, kind)]

    @property
    def reason(self) -> str:
        """The reason of the one refusal there is."""
        (reject,) = self.rejects
        return reject.reason


def read(*paths: Path, wanted: str = "auto", rules: ReadingRules = RULES) -> Read:
    """Every entry and refusal of these files and folders."""
    result = Read()
    for file in from_paths(list(paths)):
        for item in read_file(file, wanted, rules):
            if isinstance(item, Reject):
                result.rejects.append(item)
            elif isinstance(item, Ignored):
                result.ignored.append(item.type)
            else:
                result.entries.append(item)
    return result


@contextmanager
def spooled(home: Path, *paths: Path) -> Iterator[tuple[list[Unit], list[Reject]]]:
    """The units and refusals that would be written for these files."""
    found = read(*paths)
    with open_spool(home) as spool:
        for reject in found.rejects:
            spool.reject(reject)
        for entry in found.entries:
            spool.add(entry)
        spool.seal()
        yield list(spool.units()), [reject for _, reject in spool.rejects(0)]


@dataclass(frozen=True)
class Clinic:
    """An empty, migrated database, and what can be asked of it."""

    settings: Settings
    databases: Databases

    def take(self, *paths: Path, **options: Any) -> ImportSummary:
        return run_import(self.settings, paths, **options)

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows as the worker sees them."""
        with self.databases.autocommit(Principal.WORKER) as connection:
            return connection.execute(statement, parameters).fetchall()

    def one(self, statement: str, **parameters: Any) -> Any:
        ((value,),) = self.rows(statement, **parameters)
        return value

    def counts(self) -> dict[str, int]:
        return {table: self.one(f"SELECT count(*) FROM {table}") for table in TABLES}

    def content(self) -> dict[str, list[Any]]:
        return {name: self.rows(statement) for name, statement in CONTENT.items()}

    def actions(self) -> dict[str, int]:
        """Events in the outbox by action."""
        return dict(self.rows("SELECT action, count(*) FROM audit_outbox GROUP BY action"))

    def reasons(self) -> list[str]:
        return [reason for (reason,) in self.rows("SELECT reason FROM import_rejects ORDER BY id")]


@pytest.fixture
def clinic(fresh_settings: Settings, fresh_databases: Databases) -> Clinic:
    return Clinic(fresh_settings, fresh_databases)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of the test's own: ``write("name", text or bytes)`` gives its path."""
    folder = tmp_path / "files"
    folder.mkdir()

    def made(name: str, content: str | bytes) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return made
