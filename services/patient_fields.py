"""A patient's fields: their API names, their columns, and how documents stand in a version row."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from models import Patient
from services.field_encryption import FieldCipher
from services.record_fields import time_text

# API name → attribute of Patient.
PLAIN = {
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
    "responsibleId": "responsible_id",
}
# Each is a pair of columns, <name>_cipher and <name>_index.
DOCUMENTS = ("cpf", "cns", "passport")


def json_value(value: Any) -> Any:
    """A column's value as plain JSON: dates and times as text (RFC 3339), ids as text."""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else value


def document_of(cipher: FieldCipher, patient: Patient, kind: str) -> str | None:
    """The patient's document in the clear. Raises ValueError when its ciphertext does not open."""
    sealed = getattr(patient, f"{kind}_cipher")
    return None if sealed is None else cipher.decrypt(sealed, patient.id)


def content_of(cipher: FieldCipher, patient: Patient) -> dict[str, Any]:
    """The patient's full content in the clear, to compare and to digest. Never stored."""
    content = _plain(patient)
    return content | {kind: document_of(cipher, patient, kind) for kind in DOCUMENTS}


def sealed_content(patient: Patient) -> dict[str, Any]:
    """The full content as version rows keep it: documents stay encrypted, base64 of their ciphertext."""
    content = _plain(patient)
    for kind in DOCUMENTS:
        sealed = getattr(patient, f"{kind}_cipher")
        content[kind] = None if sealed is None else base64.b64encode(sealed).decode()
    return content


def open_content(cipher: FieldCipher, patient_id: uuid.UUID, content: Mapping[str, Any]) -> dict[str, Any]:
    """A version row's content in the clear. Whoever shows it applies the reader's mask."""
    opened = dict(content)
    for kind in DOCUMENTS:
        if opened.get(kind) is not None:
            opened[kind] = cipher.decrypt(base64.b64decode(opened[kind]), patient_id)
    return opened


def _plain(patient: Patient) -> dict[str, Any]:
    content = {name: json_value(getattr(patient, attribute)) for name, attribute in PLAIN.items()}
    content["deletedAt"] = time_text(patient.deleted_at)
    return content
