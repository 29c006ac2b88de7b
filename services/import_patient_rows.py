"""A patient between the forms an import meets: as imported, as a row, and as content to compare."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from models import Patient
from services.field_encryption import FieldCipher
from services.import_entries import ImportedPatient
from services.import_statements import Row
from services.patient_fields import DOCUMENTS, PLAIN, json_value, open_content

AUDIT_KEY_BYTES = 32
# API name → column, for what a source may say; who is responsible is for the clinic to say.
SAID = {name: column for name, column in PLAIN.items() if name != "responsibleId"}
SEALED = tuple(f"{kind}_{part}" for kind in DOCUMENTS for part in ("cipher", "index"))
COLUMNS = (*PLAIN.values(), *SEALED, "audit_key_cipher", "version", "deleted_at", "source")


def imported_content(patient: ImportedPatient) -> dict[str, Any]:
    """What the source says, by API name, documents in the clear. Lives in memory only."""
    content = {name: json_value(getattr(patient, column)) for name, column in SAID.items()}
    return content | {kind: getattr(patient, kind) for kind in DOCUMENTS}


def said(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of a patient's full content in the clear, what a source may say."""
    return {name: content.get(name) for name in (*SAID, *DOCUMENTS)}


def last_said(content: Mapping[str, Any], patient_id: uuid.UUID, cipher: FieldCipher) -> dict[str, Any]:
    """The same of a version row's content, whose documents are sealed."""
    return said(open_content(cipher, patient_id, content))


def patient_of(row: Row) -> Patient:
    """A row that was looked up, as the model that knows its content. Not attached to any session."""
    sealed = {name: None if row[name] is None else bytes(row[name]) for name in (*SEALED, "audit_key_cipher")}
    return Patient(**{name: row[name] for name in ("id", *COLUMNS)} | sealed)


def new_patient(patient: ImportedPatient, patient_id: uuid.UUID, cipher: FieldCipher) -> tuple[Patient, bytes]:
    """A row to be, and its audit key in the clear."""
    audit_key = os.urandom(AUDIT_KEY_BYTES)
    made = Patient(id=patient_id, version=1, source=patient.key.source, source_id=patient.key.id)
    for column in SAID.values():
        setattr(made, column, getattr(patient, column))
    for kind in DOCUMENTS:
        seal(made, kind, getattr(patient, kind), cipher)
    made.audit_key_cipher = cipher.encrypt_bytes(audit_key, patient_id)
    return made, audit_key


def seal(patient: Patient, kind: str, value: str | None, cipher: FieldCipher) -> None:
    """Set the two columns of a CPF, CNS or passport."""
    setattr(patient, f"{kind}_cipher", None if value is None else cipher.encrypt(value, patient.id))
    setattr(patient, f"{kind}_index", None if value is None else cipher.blind_index(kind, value))
