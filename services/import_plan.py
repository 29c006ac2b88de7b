"""What a batch of imported entries means for the database. Nothing is written here; ``Batch.write`` does."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from services.field_encryption import FieldCipher
from services.import_batch import Batch
from services.import_entries import Key
from services.import_identifiers import is_document_number, stored_ids
from services.import_plan_patients import PatientPlan
from services.import_plan_records import RecordPlan
from services.import_spool import Unit
from services.import_statements import Connection

NO_PATIENT = "its patient is neither in this import nor in the database, or was refused"


def plan(
    connection: Connection,
    cipher: FieldCipher,
    units: Sequence[Unit],
    *,
    job_id: uuid.UUID,
    responsible_id: uuid.UUID | None = None,
) -> Batch:
    """The batch for ``units``. Reads the database through ``connection`` and writes nothing.

    ``responsible_id`` becomes the responsible doctor of every patient that is created.
    """
    batch = Batch(job_id)
    stored = _StoredKeys(connection, cipher, units)
    units = [_keyed(unit, stored) for unit in units]
    patients = PatientPlan(
        connection,
        cipher,
        batch,
        responsible_id,
        [unit.patient_key for unit in units],
        [unit.patient for unit in units if unit.patient is not None],
    )
    records = RecordPlan(
        connection,
        batch,
        [record for unit in units for record in unit.records],
        [allergy for unit in units for allergy in unit.allergies],
    )
    for unit in units:
        batch.rejects += unit.rejects
        person = patients.known(unit.patient_key) if unit.patient is None else patients.plan(unit.patient)
        if person is None:
            for place in [entry.place for entry in unit.allergies] + [entry.place for entry in unit.records]:
                batch.reject(place, NO_PATIENT)
            continue
        for allergy in unit.allergies:
            records.allergy(allergy, person)
        for record in unit.records:
            records.record(record, person)
    return batch


class _StoredKeys:
    """Ids that may be stored: some systems use a CPF as a person's id, and it must not lie about in the clear
    (SECURITY 23), so its keyed index takes its place. While keys change, what was stored under a former one is that."""

    def __init__(self, connection: Connection, cipher: FieldCipher, units: Sequence[Unit]) -> None:
        self._connection = connection
        self._cipher = cipher
        self._people = self._names(("patients",), [unit.patient_key for unit in units])
        self._entries = self._names(
            ("medical_records", "allergies"), [key for unit in units for key in _entry_keys(unit) if key is not None]
        )

    def of_person(self, key: Key) -> Key:
        return Key(key.source, self._people.get(key.id, key.id))

    def of_entry(self, key: Key) -> Key:
        return Key(key.source, self._entries.get(key.id, key.id))

    def _names(self, tables: Sequence[str], keys: Sequence[Key]) -> dict[str, str]:
        names = {key.id: stored_ids(self._cipher, key.id) for key in keys if is_document_number(key.id)}
        former = [name for stored in names.values() for name in stored[1:]]
        known: set[str] = set()
        for table in tables if former else ():
            rows = self._connection.execute(f"SELECT source_id FROM {table} WHERE source_id = ANY(%s)", [former])
            known |= {row[0] for row in rows}
        return {key: next((name for name in stored if name in known), stored[0]) for key, stored in names.items()}


def _entry_keys(unit: Unit) -> list[Key | None]:
    keys: list[Key | None] = [allergy.key for allergy in unit.allergies]
    return keys + [key for record in unit.records for key in (record.key, record.amends)]


def _keyed(unit: Unit, stored: _StoredKeys) -> Unit:
    """The unit under ids that may be stored."""
    if not any(key is not None and is_document_number(key.id) for key in (unit.patient_key, *_entry_keys(unit))):
        return unit
    return replace(
        unit,
        patient_key=stored.of_person(unit.patient_key),
        patient=None if unit.patient is None else replace(unit.patient, key=stored.of_person(unit.patient.key)),
        records=tuple(
            replace(
                record, key=stored.of_entry(record.key),
                amends=None if record.amends is None else stored.of_entry(record.amends),
            )
            for record in unit.records
        ),
        allergies=tuple(replace(allergy, key=stored.of_entry(allergy.key)) for allergy in unit.allergies),
    )  # fmt: skip
