"""A patient between three forms: as imported, as a row, and as the content of a version."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from services.field_encryption import FieldCipher
from services.import_entries import ImportedPatient
from services.import_statements import Row
from services.record_fields import time_text

AUDIT_KEY_BYTES = 32
DOCUMENTS = ("cpf", "cns", "passport")
# API name → column, for what an import may set.
FIELDS = {
    "fullName": "full_name",
    "socialName": "social_name",
    "motherName": "mother_name",
    "birthDate": "birth_date",
    "birthDateEstimated": "birth_date_estimated",
    "sex": "sex",
    "nationality": "nationality",
    "phone": "phone",
    "email": "email",
    "address": "address",
    "deceasedAt": "deceased_at",
}
COLUMNS = (
    *FIELDS.values(),
    *(f"{kind}_{part}" for kind in DOCUMENTS for part in ("cipher", "index")),
    "responsible_id", "audit_key_cipher", "version", "deleted_at", "source",
)  # fmt: skip


def imported_content(patient: ImportedPatient) -> dict[str, Any]:
    """What the source says, by API name, documents in the clear. Lives in memory only."""
    content = {name: _plain(getattr(patient, column)) for name, column in FIELDS.items()}
    return content | {kind: getattr(patient, kind) for kind in DOCUMENTS}


def row_content(row: Row, cipher: FieldCipher) -> dict[str, Any]:
    """The same of a row."""
    content = {name: _plain(row[column]) for name, column in FIELDS.items()}
    for kind in DOCUMENTS:
        sealed = row[f"{kind}_cipher"]
        content[kind] = None if sealed is None else cipher.decrypt(bytes(sealed), row["id"])
    return content


def new_row(patient: ImportedPatient, patient_id: uuid.UUID, cipher: FieldCipher) -> tuple[Row, bytes]:
    """The columns of a new row, and its audit key in the clear."""
    audit_key = os.urandom(AUDIT_KEY_BYTES)
    row: Row = {"id": patient_id, **{column: getattr(patient, column) for column in FIELDS.values()}}
    for kind in DOCUMENTS:
        row |= document_columns(kind, getattr(patient, kind), patient_id, cipher)
    return row | {"audit_key_cipher": cipher.encrypt_bytes(audit_key, patient_id)}, audit_key


def document_columns(kind: str, value: str | None, patient_id: uuid.UUID, cipher: FieldCipher) -> Row:
    """The two columns of a CPF, CNS or passport."""
    return {
        f"{kind}_cipher": None if value is None else cipher.encrypt(value, patient_id),
        f"{kind}_index": None if value is None else cipher.blind_index(kind, value),
    }


def version_content(row: Row) -> dict[str, Any]:
    """A patient row as a version keeps it: documents stay encrypted, in base64."""
    content = {name: _plain(row[column]) for name, column in FIELDS.items()}
    for kind in DOCUMENTS:
        sealed = row[f"{kind}_cipher"]
        content[kind] = None if sealed is None else base64.b64encode(bytes(sealed)).decode()
    return content | {"responsibleId": None if row["responsible_id"] is None else str(row["responsible_id"])}


def content_in_clear(content: Mapping[str, Any], patient_id: uuid.UUID, cipher: FieldCipher) -> dict[str, Any]:
    """A version's content as ``imported_content`` has it."""
    clear = {name: content.get(name) for name in FIELDS}
    for kind in DOCUMENTS:
        sealed = content.get(kind)
        clear[kind] = None if sealed is None else cipher.decrypt(base64.b64decode(sealed), patient_id)
    return clear


def _plain(value: Any) -> Any:
    if isinstance(value, date) and not hasattr(value, "hour"):
        return value.isoformat()
    return time_text(value) if hasattr(value, "hour") else value
