"""Close a medical record: from then on only its author corrects it, as a new version with a reason."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from services.access import RecordAccess, find_record
from services.actor import Actor
from services.errors import Forbidden
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.record_fields import content_of, status_of
from services.record_write import note_unchanged, save


def close_record(session: Session, actor: Actor, cipher: FieldCipher, record_id: uuid.UUID) -> RecordAccess:
    """Closing a closed record changes nothing. Raises Forbidden (not the author), NotFound, Gone."""
    actor.require(Permission.RECORD_CLOSE)
    access = find_record(session, actor, record_id, lock=True)
    check_closable(actor, access)
    now = datetime.now(UTC)
    if status_of(access.record, now) == "CLOSED":
        note_unchanged(session, actor, access)
        return access
    before = content_of(access.record)
    access.record.closes_at = access.record.updated_at = now
    save(session, actor, cipher, access, action="medical_record.close", before=before)
    return access


def check_closable(actor: Actor, access: RecordAccess) -> None:
    """Raises Forbidden unless this actor may close the record."""
    actor.require(Permission.RECORD_CLOSE)
    if not access.is_author:
        raise Forbidden("Only its author closes a record; it closes by itself after 24 hours.")
