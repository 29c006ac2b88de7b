"""Show a record to an actor: the same representation that reads build in SQL, for what was just written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import MedicalRecord
from services.access import RecordAccess
from services.author import Author, author_of
from services.masking import Mask, apply, mask_for
from services.record_fields import status_of, time_text
from services.record_get import etag


def record_mask(access: RecordAccess) -> Mask:
    return mask_for("record", access.relation, restricted=access.record.restricted)


def record_etag(access: RecordAccess) -> str:
    """Entity tag of the record as this actor sees it."""
    return etag(access.record.version, record_mask(access).tag)


def show_record(session: Session, access: RecordAccess) -> dict[str, Any]:
    """The record as the API shows it to this actor."""
    record = access.record
    return represent(record, author_of(session, record.author_id), record_mask(access))


def represent(record: MedicalRecord, author: Author, mask: Mask) -> dict[str, Any]:
    values = {
        "id": str(record.id),
        "patientId": str(record.patient_id),
        "visitId": None if record.visit_id is None else str(record.visit_id),
        "kind": record.kind,
        "title": record.title,
        "diagnosis": record.diagnosis,
        "treatment": record.treatment,
        "notes": record.notes,
        "cid10Codes": list(record.cid10_codes),
        "priority": record.priority,
        "restricted": record.restricted,
        "occurredAt": time_text(record.occurred_at),
        "status": status_of(record, datetime.now(UTC)),
        "version": record.version,
        "amendsId": None if record.amends_id is None else str(record.amends_id),
        "author": author.shown(),
        "createdAt": time_text(record.created_at),
        "updatedAt": time_text(record.updated_at),
        "deletedAt": time_text(record.deleted_at),
        "privacy": mask.privacy(),
    }
    return apply(mask, values)
