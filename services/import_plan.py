"""What a batch of imported entries means for the database. Nothing is written here; ``Batch.write`` does."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from services.field_encryption import FieldCipher
from services.import_batch import Batch
from services.import_entries import Key
from services.import_identifiers import is_document_number
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
    units = [_keyed(unit, cipher) for unit in units]
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


def _keyed(unit: Unit, cipher: FieldCipher) -> Unit:
    """The unit under ids that may be stored: some systems use a CPF as a person's id, and it must not lie
    about in the clear (SECURITY 23), so its keyed index takes its place."""
    keys: list[Key | None] = [unit.patient_key, *(allergy.key for allergy in unit.allergies)]
    keys += [key for record in unit.records for key in (record.key, record.amends)]
    if not any(key is not None and is_document_number(key.id) for key in keys):
        return unit

    def stored(key: Key) -> Key:
        return (
            key
            if not is_document_number(key.id)
            else Key(key.source, f"hmac-{cipher.blind_index('source id', key.id).hex()}")
        )

    return replace(
        unit,
        patient_key=stored(unit.patient_key),
        patient=None if unit.patient is None else replace(unit.patient, key=stored(unit.patient.key)),
        records=tuple(
            replace(record, key=stored(record.key), amends=None if record.amends is None else stored(record.amends))
            for record in unit.records
        ),
        allergies=tuple(replace(allergy, key=stored(allergy.key)) for allergy in unit.allergies),
    )
