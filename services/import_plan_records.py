"""What imported records and allergies mean for the database: create, change, leave alone or refuse."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from models import MedicalRecord, new_id
from models.user import IMPORT_USER_ID
from services.import_batch import Batch
from services.import_entries import ImportedAllergy, ImportedRecord, Key
from services.import_plan_patients import Person
from services.import_statements import Connection, Row, look_up
from services.import_verdict import Verdict, last_import, weigh
from services.record_fields import CONTENT, content_of, time_text
from services.restriction import must_be_restricted

RECORD_COLUMNS = (*CONTENT.values(), "patient_id", "version", "closes_at", "deleted_at", "source")
INSERTED = (
    *CONTENT.values(), "id", "patient_id", "author_id", "amends_id", "closes_at", "version", "source", "source_id",
)  # fmt: skip
ALLERGY_FIELDS = {"substance": "substance", "reaction": "reaction", "severity": "severity", "notedAt": "noted_at"}
ALLERGY_COLUMNS = (*ALLERGY_FIELDS.values(), "patient_id", "source")
STATE = ("closesAt", "deletedAt")  # in a version's content, but nothing that a source says

OTHER_PATIENT = "it belongs to another patient here"
INACTIVE_PATIENT = "its patient was inactivated here"
NOTHING_TO_AMEND = "the record it amends is neither in this import nor in the database, or is another patient's"
WOULD_EMPTY = "it would lose its diagnosis or treatment: import its conditions and prescriptions together with it"


class RecordPlan:
    """Plans the records and allergies of one batch; made anew for each."""

    def __init__(
        self,
        connection: Connection,
        batch: Batch,
        records: Iterable[ImportedRecord],
        allergies: Iterable[ImportedAllergy],
    ) -> None:
        self._connection = connection
        self._batch = batch
        self._now = datetime.now(UTC)
        keys = (key for record in records for key in (record.key, record.amends) if key is not None)
        self._records = look_up(connection, "medical_records", RECORD_COLUMNS, keys)
        self._allergies = look_up(connection, "allergies", ALLERGY_COLUMNS, (entry.key for entry in allergies))
        self._made: dict[Key, MedicalRecord] = {}

    def record(self, entry: ImportedRecord, person: Person) -> None:
        """Put a record of ``person`` into the batch."""
        row = self._records.get(entry.key)
        if row is not None:
            self._meet(entry, person, row)
            return
        if not person.is_active:
            self._batch.reject(entry.place, INACTIVE_PATIENT)
            return
        amends_id = self._amended(entry, person)
        if entry.amends is not None and amends_id is None:
            self._batch.reject(entry.place, NOTHING_TO_AMEND)
            return
        made = MedicalRecord(
            id=new_id(),
            patient_id=person.id,
            author_id=IMPORT_USER_ID,
            amends_id=amends_id,
            closes_at=self._now,  # closed: what another system wrote is corrected there, or by an addendum
            version=1,
            source=entry.key.source,
            source_id=entry.key.id,
            **_values(entry),
        )
        self._made[entry.key] = made
        names = (
            *CONTENT.values(),
            "id",
            "patient_id",
            "author_id",
            "amends_id",
            "closes_at",
            "version",
            "source",
            "source_id",
        )
        self._batch.insert("medical_records", {name: getattr(made, name) for name in names})
        self._keep(made, person, before=None)
        self._batch.count("records", "created")

    def allergy(self, entry: ImportedAllergy, person: Person) -> None:
        """Put an allergy of ``person`` into the batch. Allergies have no versions: the event tells the change."""
        row = self._allergies.get(entry.key)
        after = _allergy_content({column: getattr(entry, column) for column in ALLERGY_FIELDS.values()})
        if row is None:
            self._new_allergy(entry, person, after)
            return
        before = _allergy_content(row)
        if row["patient_id"] != person.id:
            self._batch.reject(entry.place, OTHER_PATIENT)
        elif before == after:
            self._batch.count("allergies", "unchanged")
        elif row["source"] is None:
            self._batch.reject(entry.place, Verdict.WRITTEN_HERE.value)
        else:
            changes = {column: getattr(entry, column) for column in ALLERGY_FIELDS.values()}
            self._batch.update("allergies", {"id": row["id"], **changes})
            self._event("allergy.update", row["id"], person, before, after)
            self._batch.count("allergies", "updated")

    def _new_allergy(self, entry: ImportedAllergy, person: Person, after: dict[str, Any]) -> None:
        if not person.is_active:
            self._batch.reject(entry.place, INACTIVE_PATIENT)
            return
        allergy_id = new_id()
        self._batch.insert(
            "allergies",
            {
                "id": allergy_id,
                "patient_id": person.id,
                **{column: getattr(entry, column) for column in ALLERGY_FIELDS.values()},
                "recorded_by": IMPORT_USER_ID,
                "source": entry.key.source,
                "source_id": entry.key.id,
            },
        )
        self._event("allergy.create", allergy_id, person, None, after)
        self._batch.count("allergies", "created")

    def _meet(self, entry: ImportedRecord, person: Person, row: Row) -> None:
        if row["patient_id"] != person.id:
            self._batch.reject(entry.place, OTHER_PATIENT)
            return
        before = content_of(
            MedicalRecord(**{name: row[name] for name in (*CONTENT.values(), "closes_at", "deleted_at")})
        )
        changed = MedicalRecord(
            id=row["id"],
            patient_id=person.id,
            closes_at=row["closes_at"],
            deleted_at=row["deleted_at"],
            version=row["version"] + 1,
            **_values(entry),
        )
        after = content_of(changed)
        verdict = weigh(row, _said(before), _said(after), lambda: self._last_import(row["id"]))
        if verdict is Verdict.UNCHANGED:
            self._batch.count("records", "unchanged")
        elif verdict.is_refusal:
            self._batch.reject(entry.place, verdict.value)
        elif entry.is_assembled and any(before[name] and not after[name] for name in ("diagnosis", "treatment")):
            self._batch.reject(entry.place, WOULD_EMPTY)
        else:
            changes = {
                CONTENT[name]: getattr(changed, CONTENT[name]) for name in CONTENT if before[name] != after[name]
            }
            self._batch.update("medical_records", changes | {"id": row["id"], "version": changed.version})
            self._keep(changed, person, before=before)
            self._batch.count("records", "updated")

    def _keep(self, record: MedicalRecord, person: Person, *, before: dict[str, Any] | None) -> None:
        """The version row and the event that belong to a record made or changed."""
        after = content_of(record)
        self._batch.insert(
            "record_versions",
            {
                "record_id": record.id,
                "version": record.version,
                "patient_id": person.id,
                "content": after,
                "changed_by": IMPORT_USER_ID,
            },
        )
        self._batch.event(
            "medical_record.create" if before is None else "medical_record.update",
            "medical_record",
            record.id,
            person.id,
            person.audit_key,
            before=before,
            after=after,
            version=record.version,
        )

    def _event(
        self,
        action: str,
        allergy_id: uuid.UUID,
        person: Person,
        before: dict[str, Any] | None,
        after: dict[str, Any],
    ) -> None:
        self._batch.event(action, "allergy", allergy_id, person.id, person.audit_key, before=before, after=after)

    def _amended(self, entry: ImportedRecord, person: Person) -> uuid.UUID | None:
        if entry.amends is None:
            return None
        made = self._made.get(entry.amends)
        if made is not None:
            return made.id if made.patient_id == person.id and made.amends_id is None else None
        row = self._records.get(entry.amends)
        return row["id"] if row is not None and row["patient_id"] == person.id else None

    def _last_import(self, record_id: uuid.UUID) -> tuple[int, dict[str, Any]] | None:
        last = last_import(self._connection, "record_versions", "record_id", record_id)
        return None if last is None else (last[0], _said(last[1]))


def _values(entry: ImportedRecord) -> dict[str, Any]:
    codes = list(entry.cid10_codes)
    values = {column: getattr(entry, column) for column in CONTENT.values()}
    return values | {"cid10_codes": codes, "restricted": bool(entry.restricted) or must_be_restricted(codes)}


def _said(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in STATE}


def _allergy_content(row: Row) -> dict[str, Any]:
    return {
        name: time_text(row[column]) if name == "notedAt" else row[column] for name, column in ALLERGY_FIELDS.items()
    }
