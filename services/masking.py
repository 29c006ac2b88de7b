"""The one masking engine: who sees which field how. Everything that shows data asks here.

The product's table of fields is ``FIELDS``, read as (field, viewer's relation) → CLEAR, PARTIAL or HIDDEN; a
field that is not in it is hidden. Lists let PostgreSQL build their JSON, so the same table is also rendered
as SQL (``services/masking_sql.py``); a property test shows that both agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from models.user import Role


class Relation(StrEnum):
    """What the viewer is to the patient, as the role they act in."""

    CARE_TEAM = "care-team"  # doctor or nurse of the team, under break-glass, or the author of this record
    OUTSIDE = "outside-care-team"
    OWN = "own"
    RECEPTION = "reception"
    ADMIN = "admin"
    AUDITOR = "auditor"


class Visibility(StrEnum):
    CLEAR = "clear"
    PARTIAL = "partial"
    HIDDEN = "hidden"


C, P, H = Visibility.CLEAR, Visibility.PARTIAL, Visibility.HIDDEN
R = Relation

# The columns of the product's table, in its order.
_COLUMNS = (R.CARE_TEAM, R.OUTSIDE, R.OWN, R.RECEPTION, R.ADMIN, R.AUDITOR)
_IDENTIFICATION = (C, C, C, C, C, H)
_DOCUMENT = (C, P, C, C, P, H)
_CAPTION = (C, C, C, C, C, H)
_TITLE = (C, C, C, H, H, H)
_SAFETY = (C, C, C, H, H, H)
_CLINICAL = (C, H, C, H, H, H)

# field → visibility by relation; names are the API's.
PATIENT_FIELDS: dict[str, tuple[Visibility, ...]] = {
    "fullName": _IDENTIFICATION,
    "socialName": _IDENTIFICATION,
    "motherName": _IDENTIFICATION,
    "birthDate": _IDENTIFICATION,
    "birthDateEstimated": _IDENTIFICATION,
    "sex": _IDENTIFICATION,
    "nationality": _IDENTIFICATION,
    "phone": _IDENTIFICATION,
    "email": _IDENTIFICATION,
    "address": _IDENTIFICATION,
    "deceasedAt": _IDENTIFICATION,
    "responsibleId": _IDENTIFICATION,
    "cpf": _DOCUMENT,
    "cns": _DOCUMENT,
    "passport": _DOCUMENT,
}
RECORD_FIELDS: dict[str, tuple[Visibility, ...]] = {
    "kind": _CAPTION,
    "occurredAt": _CAPTION,
    "author": _CAPTION,
    "priority": _CAPTION,
    "title": _TITLE,
    "diagnosis": _CLINICAL,
    "treatment": _CLINICAL,
    "notes": _CLINICAL,
    "cid10Codes": _CLINICAL,
    "restricted": _CAPTION,
}
ALLERGY_FIELDS: dict[str, tuple[Visibility, ...]] = {
    "substance": _SAFETY,
    "reaction": _SAFETY,
    "severity": _SAFETY,
    "notedAt": _SAFETY,
}
VISIT_FIELDS: dict[str, tuple[Visibility, ...]] = {
    # The complaint a patient states at the desk: reception writes it down and the waiting room works by it; see
    # ``PAST_HIDDEN`` for what is left of that afterwards.
    "reason": (C, C, C, C, H, H),
    "priority": _CAPTION,
    "status": _CAPTION,
    # What tells two people in a waiting room apart, and that somebody has allergies: not which.
    "patientBirthDate": _IDENTIFICATION,
    "patientSex": _IDENTIFICATION,
    "hasAllergies": _SAFETY,
    "triagedAt": _CAPTION,
}

# A restricted record (Lei 14.289/2022, mental health, violence) is masked down to these for everybody who is
# neither on the care team nor the patient: in captions, conflicts and versions too. A visit that led to one
# gave it its title: the visit's reason. What the waiting room works by stays.
RESTRICTED_VISIBLE = {
    "record": frozenset({"kind", "occurredAt", "author"}),
    "visit": frozenset({"priority", "status", "patientBirthDate", "patientSex", "hasAllergies", "triagedAt"}),
}
SEES_RESTRICTED = frozenset({Relation.CARE_TEAM, Relation.OWN})

# entity → relation → what is hidden besides once it is past (a visit that is DONE or LEFT): the desk has no more use
# for a complaint then, which names a record, whose title is not the desk's to read.
PAST_HIDDEN = {"visit": {Relation.RECEPTION: frozenset({"reason"})}}

_FIELDS = {
    "patient": PATIENT_FIELDS,
    "record": RECORD_FIELDS,
    "allergy": ALLERGY_FIELDS,
    "visit": VISIT_FIELDS,
}
FIELDS = {
    (entity, field): dict(zip(_COLUMNS, row, strict=True))
    for entity, table in _FIELDS.items()
    for field, row in table.items()
}


def hidden_in_past(entity: str, relation: Relation) -> frozenset[str]:
    """The fields that ``relation`` sees only until ``entity`` is past."""
    return PAST_HIDDEN.get(entity, {}).get(relation, frozenset())


def visibility(
    entity: str, field: str, relation: Relation, *, restricted: bool = False, past: bool = False
) -> Visibility:
    """How ``relation`` sees ``field`` of a patient, record, allergy or visit. Unlisted fields are hidden."""
    row = FIELDS.get((entity, field))
    if row is None:
        return Visibility.HIDDEN
    if restricted and relation not in SEES_RESTRICTED and field not in RESTRICTED_VISIBLE.get(entity, ()):
        return Visibility.HIDDEN
    if past and field in hidden_in_past(entity, relation):
        return Visibility.HIDDEN
    return row[relation]


@dataclass(frozen=True, slots=True)
class Mask:
    """What one relation sees of one kind of thing, worked out once."""

    relation: Relation
    fields: Mapping[str, Visibility]
    masked_fields: tuple[str, ...]
    reason: str | None
    tag: str  # short name of this mask in an ETag; empty when all is clear

    def privacy(self) -> dict[str, Any]:
        """The ``privacy`` member of a representation."""
        return {"maskedFields": list(self.masked_fields), "reason": self.reason}


@lru_cache(maxsize=256)
def mask_for(entity: str, relation: Relation, *, restricted: bool = False, past: bool = False) -> Mask:
    """The mask of ``relation`` over every field of ``entity``."""
    fields = {
        field: visibility(entity, field, relation, restricted=restricted, past=past)
        for kind, field in FIELDS
        if kind == entity
    }
    masked = tuple(field for field, seen in fields.items() if seen is not Visibility.CLEAR)
    reason = None
    if masked:
        reason = "restricted" if restricted and relation not in SEES_RESTRICTED else relation.value
    tag = (
        hashlib.sha256("\0".join((relation, str(restricted), *masked)).encode()).hexdigest()[:8]
        if masked
        else ""
    )
    return Mask(relation=relation, fields=fields, masked_fields=masked, reason=reason, tag=tag)


def apply(mask: Mask, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with everything hidden set to None and documents shown in part. Keys stay as they are;
    a key the table does not list is no field of the record (id, version, times) and is left alone."""
    shown = dict(values)
    for field, seen in mask.fields.items():
        if field not in shown or seen is Visibility.CLEAR:
            continue
        shown[field] = partial(field, shown[field]) if seen is Visibility.PARTIAL else None
    return shown


def partial(field: str, value: str | None) -> str | None:
    """The part of a document that tells two patients apart and cannot be used: ``***.456.789-**``."""
    if not value:
        return None
    if field == "cpf":
        return f"***.{value[3:6]}.{value[6:9]}-**"
    if field == "cns":
        return f"*** **** **** {value[-4:]}"
    return "*" * max(len(value) - 3, 1) + value[-3:] if len(value) > 5 else "*" * len(value)


def role_relation(role: Role, *, in_team: bool) -> Relation:
    """The relation that acting as ``role`` gives, with or without a place in the care team."""
    if role.is_clinical:
        return Relation.CARE_TEAM if in_team else Relation.OUTSIDE
    return {
        Role.PATIENT: Relation.OWN,
        Role.RECEPTION: Relation.RECEPTION,
        Role.ADMIN: Relation.ADMIN,
        Role.AUDITOR: Relation.AUDITOR,
    }[role]
