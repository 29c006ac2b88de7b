"""Bring together two corrections of one patient's identification that began at the same version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from models import PatientVersion
from services.actor import Actor
from services.field_encryption import FieldCipher
from services.identifier_check import normalize
from services.patient_fields import DOCUMENTS, PLAIN, open_content
from services.patient_update import comparable
from services.patient_view import masked, patient_mask, show_patient
from services.patient_write import PatientAccess, note_unchanged
from services.three_way import MergedField, Outcome, merge


@dataclass(frozen=True, slots=True)
class PatientMerge:
    """``base`` (None when that version is not known) and ``theirs`` as the actor may see them, and the fields that
    anybody changed."""

    base_version: int
    base: dict[str, Any] | None
    theirs: dict[str, Any]
    fields: list[MergedField]

    @property
    def has_conflicts(self) -> bool:
        return any(field.outcome is Outcome.CONFLICT for field in self.fields)


def version_shown(session: Session, cipher: FieldCipher, access: PatientAccess, version: int) -> dict[str, Any] | None:
    """The patient as they were at ``version``, through the actor's mask of today; None for an unknown version."""
    if version == access.patient.version:
        return show_patient(cipher, access)
    row = session.get(PatientVersion, (access.patient.id, version))
    if row is None:
        return None
    content = open_content(cipher, access.patient.id, row.content)
    absent = {"id": str(access.patient.id), "version": version, "createdAt": None, "updatedAt": None}
    return masked(patient_mask(access), absent | content)


def merge_patient(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    access: PatientAccess,
    *,
    version: int,
    content: Mapping[str, Any],
) -> PatientMerge:
    """Merge ``content`` (the fields that were changed, API names → typed values, on top of ``version``) with what
    others saved since. Writes the event that the present state was shown, and changes nothing."""
    base = version_shown(session, cipher, access, version)
    theirs = show_patient(cipher, access)
    note_unchanged(session, actor, access)
    # Without a base nothing tells what others changed beside what was sent.
    names = content if base is None else (*PLAIN, *DOCUMENTS)
    known = None if base is None else _as_kept(base, names)
    return PatientMerge(version, base, theirs, merge(known, comparable(content), _as_kept(theirs, names), names))


def _as_kept(shown: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """What a representation says of ``fields``, with documents as they are kept: digits without their dots."""
    kept = {name: shown.get(name) for name in fields}
    return kept | {kind: normalize(kind, value) for kind in DOCUMENTS if (value := kept.get(kind)) is not None}
