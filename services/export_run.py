"""Run an export: everything one user may see, through their mask, into a folder of its own.

Every page of patients is in the trail, with their ids, before a byte of it is in a file (invariant 2). What is
written comes from one snapshot of the database; memory does not grow with it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import psycopg

from config import Principal, Settings
from models.connection import connect
from models.user import Role
from services import export_csv, export_fhir
from services.actor import Actor
from services.audit_event import Event, event_row
from services.errors import Forbidden, Invalid
from services.export_files import export_files
from services.export_read import Exported, ExportedPatient, ExportReader
from services.field_encryption import field_cipher
from services.import_statements import insert_rows
from services.masking import role_relation
from services.permissions import Permission, permits

Progress = Callable[[int, int | None], None]


class Target(Protocol):
    """What writes one format."""

    def patient(self, exported: ExportedPatient) -> None: ...
    def records(self, exported: ExportedPatient, records: list[Exported]) -> None: ...
    def end_patient(self, exported: ExportedPatient) -> None: ...


FILES = {"fhir": export_fhir.FILES, "csv": export_csv.FILES}
TARGETS: dict[str, Callable[[list[BinaryIO]], Target]] = {"fhir": export_fhir.FhirExport, "csv": export_csv.CsvExport}
TIMEOUTS = "SET statement_timeout = '5min'; SET lock_timeout = '30s'; SET TimeZone = 'UTC'"
# Whoever holds several roles exports as the one that sees most.
PREFERRED = (Role.DOCTOR, Role.PATIENT)


@dataclass(frozen=True)
class ExportSummary:
    """What was written where; ``masked`` counts patients and records that miss something."""

    folder: Path
    patients: int
    records: int
    allergies: int
    masked: int
    seconds: float

    def __str__(self) -> str:
        note = f", {self.masked} of them masked in part (they cannot be imported)" if self.masked else ""
        return (
            f"Exported {self.patients} patients, {self.records} records, {self.allergies} allergies{note} "
            f"to {self.folder} in {self.seconds:.1f} s"
        )


def run_export(
    settings: Settings, folder: Path, *, target_format: str, email: str, progress: Progress | None = None
) -> ExportSummary:
    """Write what the user with ``email`` may see to ``folder``, which must be new or empty.

    Raises Invalid for an unknown format, user or a folder in use, Forbidden when their roles export nothing.
    """
    if target_format not in TARGETS:
        raise Invalid(f"The format is one of {', '.join(TARGETS)}.")
    actor = _actor(settings, email)
    began = time.monotonic()
    counts = dict.fromkeys(("patients", "records", "allergies", "masked"), 0)
    with export_files(folder, FILES[target_format]) as files, _reading(settings, actor) as (reading, trail):
        target = TARGETS[target_format](files)
        reader = ExportReader(reading, field_cipher(settings), actor)
        total = _total(reading)
        for page in reader.pages():
            _write_events(trail, actor, page)
            for exported in page:
                target.patient(exported)
                for records in reader.records(exported):
                    target.records(exported, records)
                    counts["records"] += len(records)
                    counts["masked"] += sum(bool(record.masked) for record in records)
                target.end_patient(exported)
                counts["patients"] += 1
                counts["allergies"] += len(exported.allergies)
                counts["masked"] += bool(exported.patient.masked)
            if progress is not None:
                progress(counts["patients"], total)
    return ExportSummary(folder=folder, seconds=time.monotonic() - began, **counts)


@contextmanager
def _reading(settings: Settings, actor: Actor) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """A connection inside one read-only snapshot, and another that commits events, both as the actor's role."""
    url = settings.url_for(Principal.PATIENT if actor.role is Role.PATIENT else Principal.STAFF)
    with connect(url, autocommit=True) as reading, connect(url, autocommit=True) as trail:
        for connection in (reading, trail):
            connection.execute(TIMEOUTS)
        reading.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reading.read_only = True
        with reading.transaction():
            if actor.role is Role.PATIENT:
                reading.execute("SELECT set_config('sigilo.patient_id', %s, true)", [str(actor.patient_id)])
            yield reading, trail


def _actor(settings: Settings, email: str) -> Actor:
    with connect(settings.url_for(Principal.STAFF), autocommit=True) as connection:
        row = connection.execute(
            "SELECT u.id, u.full_name, u.council, u.patient_id, array_agg(r.role) FROM users u "
            "JOIN user_roles r ON r.user_id = u.id WHERE u.email = %s AND u.disabled_at IS NULL GROUP BY u.id",
            [email.strip().lower()],
        ).fetchone()
    if row is None:
        raise Invalid("There is no active user with this e-mail: see `sigilo user create`.")
    role = next((role for role in PREFERRED if role in row[4] and permits(role, Permission.EXPORT, None)), None)
    if role is None:
        raise Forbidden("This user's roles do not take records out of the system: a doctor's or a patient's does.")
    if role is Role.PATIENT and row[3] is None:
        raise Forbidden("This user is no patient here: their account is linked to no record.")
    return Actor(user_id=row[0], role=role, name=row[1], council=row[2], patient_id=row[3])


def _total(connection: psycopg.Connection[Any]) -> int:
    (total,) = connection.execute("SELECT count(*) FROM patients WHERE deleted_at IS NULL").fetchone() or (0,)
    return int(total)


def _write_events(trail: psycopg.Connection[Any], actor: Actor, page: list[ExportedPatient]) -> None:
    """One event a patient, so that each finds it among those who saw their record."""
    with trail.transaction():
        insert_rows(trail, "audit_outbox", [event_row(_event(actor, exported), actor) for exported in page])


def _event(actor: Actor, exported: ExportedPatient) -> Event:
    basis = role_relation(actor.role, in_team=exported.in_team).value
    patient_id: uuid.UUID = exported.patient.id
    return Event(
        action="patient.export", entity_type="patient", entity_id=patient_id, patient_id=patient_id, basis=basis
    )
