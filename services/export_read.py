"""What one user may take out, patient by patient, through their mask.

The rows come from one snapshot, page by page, so memory stays flat. A document that the mask shows only in
part is left out: half a CPF is no CPF. Break-glass opens one patient's record for reading on the screen; what
leaves the house needs a place on the care team (or having written it), so a grant counts for nothing here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from models import Patient
from services.access import CURRENT_MEMBER
from services.actor import Actor
from services.field_encryption import FieldCipher
from services.import_entries import Key
from services.import_statements import NATIVE
from services.masking import Mask, Visibility, apply, mask_for, role_relation
from services.patient_fields import DOCUMENTS, PLAIN, content_of
from services.record_fields import CONTENT, time_text

PAGE = 100  # patients read, and written into the trail, at a time
RECORDS_AT_ONCE = 500

PATIENTS = f"""
SELECT p.id, p.source, p.source_id, p.deleted_at, {", ".join(f"p.{column}" for column in PLAIN.values())},
       {", ".join(f"p.{kind}_cipher" for kind in DOCUMENTS)},
       EXISTS (SELECT FROM care_team_members m
               WHERE m.patient_id = p.id AND m.user_id = %(me)s AND {CURRENT_MEMBER}) AS in_team
FROM patients p
WHERE p.deleted_at IS NULL AND p.id > %(after)s
ORDER BY p.id LIMIT {PAGE}
"""
ALLERGIES = """
SELECT a.id, a.patient_id, a.source, a.source_id, a.substance, a.reaction, a.severity, a.noted_at
FROM allergies a WHERE a.patient_id = ANY(%(patients)s) ORDER BY a.id
"""
RECORDS = f"""
SELECT r.id, r.source, r.source_id, {", ".join(f"r.{column}" for column in CONTENT.values())},
       r.amends_id, o.source AS amends_source, o.source_id AS amends_source_id,
       r.author_id, u.full_name AS author_name, u.council AS author_council
FROM medical_records r
JOIN users u ON u.id = r.author_id
LEFT JOIN medical_records o ON o.id = r.amends_id
WHERE r.patient_id = %(patient)s AND r.deleted_at IS NULL AND r.id > %(after)s
ORDER BY r.id LIMIT {RECORDS_AT_ONCE}
"""
NIL = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Exported:
    """One patient, allergy or record as the user sees it: API names → values, None where it is masked."""

    id: uuid.UUID
    key: Key
    values: dict[str, Any]
    masked: tuple[str, ...]  # fields that are not shown in the clear


@dataclass(frozen=True, slots=True)
class ExportedPatient:
    """A patient with their allergies; the records are read on, for there may be very many."""

    patient: Exported
    in_team: bool
    allergies: tuple[Exported, ...]


class ExportReader:
    """Reads for one ``actor`` over ``connection``, inside a transaction that sees one snapshot."""

    def __init__(self, connection: psycopg.Connection[Any], cipher: FieldCipher, actor: Actor) -> None:
        self._connection = connection
        self._cipher = cipher
        self._actor = actor

    def pages(self) -> Iterator[list[ExportedPatient]]:
        """All patients the actor may see, ``PAGE`` at a time."""
        after = NIL
        while rows := self._rows(PATIENTS, me=self._actor.user_id, after=after):
            after = rows[-1]["id"]
            allergies: dict[uuid.UUID, list[dict[str, Any]]] = {}
            for row in self._rows(ALLERGIES, patients=[row["id"] for row in rows]):
                allergies.setdefault(row["patient_id"], []).append(row)
            yield [self._patient(row, allergies.get(row["id"], [])) for row in rows]

    def records(self, patient: ExportedPatient) -> Iterator[list[Exported]]:
        """A patient's active records, oldest first, ``RECORDS_AT_ONCE`` at a time."""
        after = NIL
        while rows := self._rows(RECORDS, patient=patient.patient.id, after=after):
            after = rows[-1]["id"]
            yield [self._record(row, in_team=patient.in_team) for row in rows]

    def _patient(self, row: dict[str, Any], allergies: list[dict[str, Any]]) -> ExportedPatient:
        in_team = row.pop("in_team")
        mask = self._mask("patient", in_team=in_team)
        key = key_of(row)
        columns = {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}
        values = content_of(self._cipher, Patient(**columns))
        return ExportedPatient(
            patient=_shown(row["id"], key, values, mask),
            in_team=in_team,
            allergies=tuple(self._allergy(allergy, in_team=in_team) for allergy in allergies),
        )

    def _allergy(self, row: dict[str, Any], *, in_team: bool) -> Exported:
        values = {name: row[name] for name in ("substance", "reaction", "severity")}
        values["notedAt"] = time_text(row["noted_at"])
        return _shown(row["id"], key_of(row), values, self._mask("allergy", in_team=in_team))

    def _record(self, row: dict[str, Any], *, in_team: bool) -> Exported:
        is_author = self._actor.role.is_clinical and row["author_id"] == self._actor.user_id
        mask = self._mask("record", in_team=in_team or is_author, restricted=row["restricted"])
        values = {name: row[column] for name, column in CONTENT.items()}
        values["occurredAt"] = time_text(row["occurred_at"])
        values["author"] = ", ".join(filter(None, (row["author_name"], row["author_council"])))
        if row["amends_id"] is not None:
            amended = {"id": row["amends_id"], "source": row["amends_source"], "source_id": row["amends_source_id"]}
            values["amends"] = key_of(amended)
        return _shown(row["id"], key_of(row), values, mask)

    def _mask(self, entity: str, *, in_team: bool, restricted: bool = False) -> Mask:
        relation = role_relation(self._actor.role, in_team=in_team and self._actor.role.is_clinical)
        return mask_for(entity, relation, restricted=restricted)

    def _rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, parameters).fetchall()


def key_of(row: dict[str, Any]) -> Key:
    """Under which identity a row leaves: its source's, or ours for what was written here."""
    if row["source"] is None:
        return Key(NATIVE, str(row["id"]))
    return Key(row["source"], row["source_id"])


def _shown(row_id: uuid.UUID, key: Key, values: dict[str, Any], mask: Mask) -> Exported:
    shown = apply(mask, values)
    for name, seen in mask.fields.items():
        if seen is Visibility.PARTIAL and name in shown:
            shown[name] = None
    return Exported(row_id, key, shown, tuple(name for name in mask.masked_fields if name in shown))
