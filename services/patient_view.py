"""Show a patient to an actor: documents are decrypted only where the mask lets some of them through."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from models.user import Role
from services.field_encryption import FieldCipher
from services.identifier_check import formatted
from services.masking import Mask, Visibility, apply, mask_for, role_relation
from services.masking_sql import inside_rowwise
from services.patient_fields import DOCUMENTS, PLAIN, content_of
from services.patient_write import PatientAccess
from services.record_fields import sql_time, time_text
from services.record_get import etag

TIMES = {"createdAt": "created_at", "updatedAt": "updated_at", "deletedAt": "deleted_at"}


def patient_mask(access: PatientAccess) -> Mask:
    return mask_for("patient", access.relation)


def patient_etag(access: PatientAccess) -> str:
    """Entity tag of the patient as this actor sees them."""
    return etag(access.patient.version, patient_mask(access).tag)


def show_patient(cipher: FieldCipher, access: PatientAccess) -> dict[str, Any]:
    """The patient as the API shows them to this actor."""
    patient = access.patient
    values = {"id": str(patient.id), "version": patient.version, **content_of(cipher, patient)}
    values |= {name: time_text(getattr(patient, attribute)) for name, attribute in TIMES.items()}
    return masked(patient_mask(access), values)


def masked(mask: Mask, values: Mapping[str, Any]) -> dict[str, Any]:
    """A patient's values with documents in the clear → the representation: masked, formatted, and saying so."""
    shown = apply(mask, values)
    for kind in DOCUMENTS:
        if shown[kind] is not None and mask.fields[kind] is Visibility.CLEAR:
            shown[kind] = formatted(kind, shown[kind])
    names = ("id", *PLAIN, *DOCUMENTS, "version", *TIMES)
    return {name: shown[name] for name in names} | {"privacy": mask.privacy()}


def inside(role: Role) -> str:
    """SQL boolean over ``patients p``: does the reader see this patient as the care team does?"""
    return inside_rowwise("p.id", None) if role.is_clinical else "FALSE"


@lru_cache(maxsize=16)
def sql_row(role: Role) -> str:
    """SQL json over ``s`` (a patient with ``inside``): what ``represent`` needs, documents still encrypted.

    Where no relation of this role sees any of a document, its ciphertext does not leave the database.
    """
    masks = [mask_for("patient", role_relation(role, in_team=in_team)) for in_team in (True, False)]
    columns = {"id": "s.id", "version": "s.version", "inside": "s.inside"}
    for name, attribute in PLAIN.items():
        columns[name] = sql_time(f"s.{attribute}") if attribute == "deceased_at" else f"s.{attribute}"
    for kind in DOCUMENTS:
        hidden = all(mask.fields[kind] is Visibility.HIDDEN for mask in masks)
        columns[kind] = "NULL" if hidden else f"encode(s.{kind}_cipher, 'hex')"
    columns |= {name: sql_time(f"s.{attribute}") for name, attribute in TIMES.items()}
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    return f"(SELECT row_to_json(v) FROM (SELECT {selected}) v)"


def row_mask(role: Role, row: Mapping[str, Any]) -> Mask:
    return mask_for("patient", role_relation(role, in_team=row["inside"]))


def represent(cipher: FieldCipher, role: Role, row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of ``sql_row`` → the patient as the API shows them to ``role``."""
    mask = row_mask(role, row)
    values = dict(row)
    patient_id = uuid.UUID(row["id"])
    for kind in DOCUMENTS:
        sealed = row[kind]
        seen = sealed is not None and mask.fields[kind] is not Visibility.HIDDEN
        values[kind] = cipher.decrypt(bytes.fromhex(sealed), patient_id) if seen else None
    return masked(mask, values)
