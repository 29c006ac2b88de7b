"""What one transaction of an import writes: rows by table, refusals and counts."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models import new_id
from models.user import IMPORT_USER_ID
from services.audit_event import Event, Origin, changes_between, event_row
from services.import_entries import Place, Reject
from services.import_statements import Connection, Row, insert_rows, update_rows

IMPORTER = Origin(user_id=IMPORT_USER_ID, role="SYSTEM")
BASIS = "import"

Kind = Literal["patients", "records", "allergies"]
Outcome = Literal["created", "updated", "unchanged"]

# In the order in which rows may refer to each other.
INSERTED = (
    "patients", "patient_versions", "care_team_members", "allergies", "medical_records", "record_versions",
    "audit_outbox",
)  # fmt: skip
UPDATED = ("patients", "allergies", "medical_records")


@dataclass
class Batch:
    """Collects; ``write`` sends it all within the caller's transaction."""

    job_id: uuid.UUID
    inserts: dict[str, list[Row]] = field(default_factory=dict)
    updates: dict[str, list[Row]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # "patients.created" → n

    def insert(self, table: str, row: Row) -> None:
        self.inserts.setdefault(table, []).append(row)

    def update(self, table: str, row: Row) -> None:
        self.updates.setdefault(table, []).append(row)

    def count(self, kind: Kind, outcome: Outcome) -> None:
        self.counts[f"{kind}.{outcome}"] += 1

    def reject(self, place: Place, reason: str, pointer: str = "") -> None:
        """Refuse an entry that stood at ``place``; ``pointer`` is relative to it."""
        self.rejects.append(Reject(place.file, place.line, place.pointer + pointer, reason))

    def event(
        self,
        action: str,
        entity_type: str,
        entity_id: uuid.UUID,
        patient_id: uuid.UUID,
        key: bytes,
        *,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any],
        version: int | None = None,
    ) -> None:
        """The event of one row made or changed; ``key`` is the patient's audit key."""
        event_id = new_id()
        event = Event(
            action=action,
            entity_type=entity_type,
            entity_id=entity_id,
            patient_id=patient_id,
            from_version=None if version is None or before is None else version - 1,
            to_version=version,
            changes=changes_between(key, event_id, before, after),
            basis=BASIS,
            basis_id=self.job_id,
        )
        self.insert("audit_outbox", event_row(event, IMPORTER, event_id=event_id))

    def write(self, connection: Connection) -> None:
        """Raises RowChanged, or psycopg's errors for what the database refuses."""
        for table in INSERTED:
            insert_rows(connection, table, self.inserts.get(table, ()))
        for table in UPDATED:
            update_rows(connection, table, self.updates.get(table, ()))
        write_rejects(connection, self.job_id, self.rejects)


def write_rejects(connection: Connection, job_id: uuid.UUID, rejects: list[Reject]) -> None:
    """Keep refusals with their job."""
    insert_rows(
        connection,
        "import_rejects",
        [
            {
                "id": new_id(),
                "job_id": job_id,
                "file": reject.file,
                "line": reject.line,
                "pointer": reject.pointer,
                "reason": reject.reason,
            }
            for reject in rejects
        ],
    )
