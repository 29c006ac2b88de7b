"""What imported patients mean for the database: create, change, leave alone or refuse."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models import Patient, new_id
from models.text import fold
from models.user import IMPORT_USER_ID
from services.field_encryption import FieldCipher
from services.import_batch import Batch
from services.import_entries import ImportedPatient, Key
from services.import_patient_rows import (
    COLUMNS,
    SAID,
    SEALED,
    imported_content,
    last_said,
    new_patient,
    patient_of,
    said,
    seal,
)
from services.import_rules import is_uuid
from services.import_statements import Connection, Row, look_up
from services.import_verdict import Verdict, last_import, weigh
from services.patient_fields import DOCUMENTS, PLAIN, content_of, sealed_content

INSERTED = ("id", *PLAIN.values(), *SEALED, "audit_key_cipher", "source", "source_id", "version", "created_by")
UNIQUE_DOCUMENTS = ("cpf", "cns")
OTHER_PERSON = (
    "another person (other name, other birth date) was imported under this id: "
    "name the sending system with --source, so that its ids count for themselves"
)


@dataclass(frozen=True, slots=True)
class Person:
    """A patient whose entries may be written: the row's id, and the key of their audit digests."""

    id: uuid.UUID
    audit_key: bytes
    is_active: bool = True


class PatientPlan:
    """Plans the patients of one batch; made anew for each."""

    def __init__(
        self,
        connection: Connection,
        cipher: FieldCipher,
        batch: Batch,
        responsible_id: uuid.UUID | None,
        keys: Iterable[Key],
        patients: Iterable[ImportedPatient],
    ) -> None:
        self._connection = connection
        self._cipher = cipher
        self._batch = batch
        self._responsible_id = responsible_id
        self._rows = look_up(connection, "patients", COLUMNS, keys)
        self._owners = self._document_owners(patients)
        self._planned: dict[Key, Person | None] = {}

    def known(self, key: Key) -> Person | None:
        """A patient who is in the database, or was planned a moment ago, or None."""
        row = self._rows.get(key)
        if key in self._planned:
            return self._planned[key]
        return None if row is None else self._person(row)

    def plan(self, patient: ImportedPatient) -> Person | None:
        """Put the patient into the batch; None when they are refused, and with them all that is theirs."""
        row = self._rows.get(patient.key)
        person = self._create(patient) if row is None else self._meet(patient, row)
        self._planned[patient.key] = person
        return person

    def _create(self, patient: ImportedPatient) -> Person | None:
        patient_id = new_id()
        if not self._claim_documents(patient, patient_id):
            return None
        made, audit_key = new_patient(patient, patient_id, self._cipher)
        made.responsible_id = self._responsible_id
        made.created_by = IMPORT_USER_ID
        self._batch.insert("patients", {name: getattr(made, name) for name in INSERTED})
        self._keep(made, audit_key, before=None)
        if self._responsible_id is not None:
            self._join_team(patient_id, audit_key)
        self._batch.count("patients", "created")
        return Person(patient_id, audit_key)

    def _meet(self, patient: ImportedPatient, row: Row) -> Person | None:
        known = patient_of(row)
        before, after = content_of(self._cipher, known), imported_content(patient)
        person = self._person(row)
        verdict = weigh(row, said(before), after, lambda: self._last_import(row["id"]))
        if verdict is Verdict.UNCHANGED:
            self._batch.count("patients", "unchanged")
            return person
        if not is_uuid(patient.key.id) and _is_other_person(before, after):
            self._batch.reject(patient.place, OTHER_PERSON)
            return None
        if verdict.is_refusal:
            self._batch.reject(patient.place, verdict.value)
        elif self._claim_documents(patient, row["id"]):
            self._change(known, patient, person, before, after)
        return person

    def _change(
        self,
        known: Patient,
        patient: ImportedPatient,
        person: Person,
        before: dict[str, Any],
        after: dict[str, Any],
    ) -> None:
        changed = [SAID[name] for name in SAID if before[name] != after[name]]
        for column in changed:
            setattr(known, column, getattr(patient, column))
        for kind in DOCUMENTS:
            if before[kind] != after[kind]:
                seal(known, kind, after[kind], self._cipher)
                changed += [f"{kind}_cipher", f"{kind}_index"]
        known.version += 1
        self._batch.update("patients", {name: getattr(known, name) for name in (*changed, "id", "version")})
        self._keep(known, person.audit_key, before=before)
        self._batch.count("patients", "updated")

    def _keep(self, patient: Patient, audit_key: bytes, *, before: dict[str, Any] | None) -> None:
        """The version row and the event that belong to a patient made or changed."""
        self._batch.insert(
            "patient_versions",
            {
                "patient_id": patient.id,
                "version": patient.version,
                "content": sealed_content(patient),
                "changed_by": IMPORT_USER_ID,
            },
        )
        self._batch.event(
            "patient.create" if before is None else "patient.update",
            "patient",
            patient.id,
            patient.id,
            audit_key,
            before=before,
            after=content_of(self._cipher, patient),
            version=patient.version,
        )

    def _join_team(self, patient_id: uuid.UUID, audit_key: bytes) -> None:
        """The responsible doctor is of the care team from the first day."""
        member_id = new_id()
        self._batch.insert(
            "care_team_members",
            {
                "id": member_id,
                "patient_id": patient_id,
                "user_id": self._responsible_id,
                "origin": "RESPONSIBLE",
                "added_by": IMPORT_USER_ID,
            },
        )
        self._batch.event(
            "care_team.add",
            "care_team_member",
            member_id,
            patient_id,
            audit_key,
            before=None,
            after={"userId": str(self._responsible_id), "origin": "RESPONSIBLE", "expiresAt": None},
        )

    # -- documents: one CPF and one CNS belong to one patient ------------------------------------------------

    def _document_owners(self, patients: Iterable[ImportedPatient]) -> dict[tuple[str, bytes], uuid.UUID]:
        owners: dict[tuple[str, bytes], uuid.UUID] = {}
        found = list(patients)
        for kind in UNIQUE_DOCUMENTS:
            numbers = [number for patient in found if (number := getattr(patient, kind)) is not None]
            indexes = [index for number in numbers for index in self._cipher.blind_indexes(kind, number)]
            if indexes:
                rows = self._connection.execute(
                    f"SELECT {kind}_index, id FROM patients WHERE {kind}_index = ANY(%s)", [indexes]
                )
                owners |= {(kind, bytes(index)): owner for index, owner in rows}
        return owners

    def _claim_documents(self, patient: ImportedPatient, patient_id: uuid.UUID) -> bool:
        """Whether nobody else has this CPF or CNS; if so they are this patient's from now on."""
        claimed: dict[tuple[str, bytes], uuid.UUID] = {}
        for kind in UNIQUE_DOCUMENTS:
            number = getattr(patient, kind)
            if number is None:
                continue
            for index in self._cipher.blind_indexes(kind, number):
                if self._owners.get((kind, index), patient_id) != patient_id:
                    self._batch.reject(
                        patient.place, f"another patient here has this {kind.upper()}: see whether they are one person"
                    )
                    return False
                claimed[kind, index] = patient_id
        self._owners |= claimed
        return True

    def _last_import(self, patient_id: uuid.UUID) -> tuple[int, dict[str, Any]] | None:
        last = last_import(self._connection, "patient_versions", "patient_id", patient_id)
        return None if last is None else (last[0], last_said(last[1], patient_id, self._cipher))

    def _person(self, row: Row) -> Person:
        audit_key = self._cipher.decrypt_bytes(bytes(row["audit_key_cipher"]), row["id"])
        return Person(row["id"], audit_key, is_active=row["deleted_at"] is None)


def _is_other_person(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return fold(before["fullName"]) != fold(after["fullName"]) and before["birthDate"] != after["birthDate"]
