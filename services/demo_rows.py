"""A demo clinic as rows: every patient and record with its version row, everything with its audit event.

The events say what is true: the system made these rows, now. The records themselves say who would have written
them, and when.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models import Allergy, CareTeamMember, MedicalRecord, User, Visit, new_id
from models.base import Base
from services import patient_fields, record_fields, visit_write
from services.audit_event import SYSTEM, Event, changes_between, event_row
from services.demo_people import Person
from services.demo_year import Year
from services.field_encryption import FieldCipher
from services.import_statements import Connection, Row, insert_rows
from services.record_fields import time_text
from services.user_version import user_content

BASIS = "demo"
CHUNK = 1000  # rows a statement

# In the order in which rows may refer to each other.
TABLES = (
    "users", "user_roles", "user_versions", "role_versions", "patients", "patient_versions", "visits",
    "care_team_members", "allergies", "medical_records", "record_versions", "audit_outbox",
)  # fmt: skip
USER = ("id", "email", "full_name", "council", "password_hash", "password_changed_at", "patient_id", "created_at",
        "updated_at", "locale", "must_change_password", "version")  # fmt: skip
PATIENT = (
    "id", "full_name", "social_name", "mother_name", "birth_date", "birth_date_estimated", "sex", "nationality",
    "phone", "email", "address", "responsible_id", "cpf_cipher", "cpf_index", "cns_cipher", "cns_index",
    "passport_cipher", "passport_index", "audit_key_cipher", "version", "created_by", "created_at", "updated_at",
)  # fmt: skip
VISIT = (
    "id", "patient_id", "reason", "priority", "status", "doctor_id", "checked_in_by", "arrived_at", "called_at",
    "closed_at", "version",
)  # fmt: skip
MEMBER = ("id", "patient_id", "user_id", "origin", "visit_id", "added_by", "added_at", "expires_at")
ALLERGY = ("id", "patient_id", "substance", "reaction", "severity", "noted_at", "recorded_by", "created_at")
RECORD = (
    "id", "patient_id", "author_id", "visit_id", "amends_id", "kind", "title", "diagnosis", "treatment", "notes",
    "cid10_codes", "priority", "restricted", "occurred_at", "closes_at", "version", "created_at", "updated_at",
)  # fmt: skip


@dataclass
class Rows:
    """Rows by table, collected and then written within the caller's transaction."""

    cipher: FieldCipher
    tables: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})

    def user(self, user: User, role: str) -> None:
        """An account of version 1 that holds one role."""
        content = user_content(user)
        self._add("users", user, USER)
        self.tables["user_roles"].append({"user_id": user.id, "role": role, "granted_at": user.created_at})
        version = {"user_id": user.id, "version": 1, "changed_at": user.created_at}
        self.tables["user_versions"].append(version | {"content": content})
        self.tables["role_versions"].append(version | {"roles": [role]})
        self._event("user.create", "user", user.id, None, self.cipher.digest_key, {**content, "roles": [role]}, 1)

    def patient(self, person: Person) -> None:
        patient = person.patient
        self._add("patients", patient, PATIENT)
        self.tables["patient_versions"].append(
            {
                "patient_id": patient.id, "version": 1, "content": patient_fields.sealed_content(patient),
                "changed_by": patient.created_by, "changed_at": patient.created_at,
            }
        )  # fmt: skip
        content = patient_fields.content_of(self.cipher, patient)
        self._event("patient.create", "patient", patient.id, patient.id, person.audit_key, content, 1)

    def year(self, year: Year, keys: Mapping[uuid.UUID, bytes]) -> None:
        """``keys`` is patient id → audit key."""
        for visit in year.visits:
            self._visit(visit, keys[visit.patient_id])
        for member in year.members:
            self._member(member, keys[member.patient_id])
        for allergy in year.allergies:
            self._allergy(allergy, keys[allergy.patient_id])
        for record in year.records:
            self._record(record, keys[record.patient_id])

    @property
    def count(self) -> int:
        return sum(map(len, self.tables.values()))

    def write(self, connection: Connection) -> Iterator[int]:
        """Insert everything; yields how many rows each statement wrote. Raises what the database raises."""
        for table in TABLES:
            rows = self.tables[table]
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                insert_rows(connection, table, chunk)
                yield len(chunk)

    def _visit(self, visit: Visit, key: bytes) -> None:
        self._add("visits", visit, VISIT)
        content = visit_write.content_of(visit)
        self._event("visit.create", "visit", visit.id, visit.patient_id, key, content, visit.version)

    def _member(self, member: CareTeamMember, key: bytes) -> None:
        self._add("care_team_members", member, MEMBER)
        content = {
            "userId": str(member.user_id), "origin": member.origin, "expiresAt": time_text(member.expires_at),
        }  # fmt: skip
        self._event("care_team.add", "care_team_member", member.id, member.patient_id, key, content)

    def _allergy(self, allergy: Allergy, key: bytes) -> None:
        self._add("allergies", allergy, ALLERGY)
        content = {
            "substance": allergy.substance, "reaction": allergy.reaction, "severity": allergy.severity,
            "notedAt": time_text(allergy.noted_at),
        }  # fmt: skip
        self._event("allergy.create", "allergy", allergy.id, allergy.patient_id, key, content)

    def _record(self, record: MedicalRecord, key: bytes) -> None:
        self._add("medical_records", record, RECORD)
        content = record_fields.content_of(record)
        self.tables["record_versions"].append(
            {
                "record_id": record.id, "version": 1, "patient_id": record.patient_id, "content": content,
                "changed_by": record.author_id, "changed_at": record.created_at,
            }
        )  # fmt: skip
        self._event("medical_record.create", "medical_record", record.id, record.patient_id, key, content, 1)

    def _add(self, table: str, row: Base, columns: Sequence[str]) -> None:
        self.tables[table].append({column: getattr(row, column) for column in columns})

    def _event(
        self,
        action: str,
        entity_type: str,
        entity_id: uuid.UUID,
        patient_id: uuid.UUID | None,
        key: bytes,
        after: Mapping[str, Any],
        version: int | None = None,
    ) -> None:
        event_id = new_id()
        event = Event(
            action=action,
            entity_type=entity_type,
            entity_id=entity_id,
            patient_id=patient_id,
            to_version=version,
            changes=changes_between(key, event_id, None, after),
            basis=BASIS,
        )
        self.tables["audit_outbox"].append(event_row(event, SYSTEM, event_id=event_id))


def new_user(
    user_id: uuid.UUID, email: str, full_name: str, *, since: datetime, now: datetime, council: str | None = None,
    password_hash: str | None = None, patient_id: uuid.UUID | None = None,
) -> User:  # fmt: skip
    """An account as ``Rows.user`` takes it; without a hash nobody signs in to it."""
    return User(
        id=user_id, email=email, full_name=full_name, council=council, patient_id=patient_id, locale="pt_BR",
        password_hash=password_hash, password_changed_at=now if password_hash else None,
        must_change_password=False, version=1, created_at=since, updated_at=since,
    )  # fmt: skip
