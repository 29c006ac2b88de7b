"""Inactivate a medical record with a reason, and restore it. Nothing is ever erased by this."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models.user import Role
from services.access import RecordAccess, find_record
from services.actor import Actor
from services.errors import Conflict, Forbidden, StaleVersion
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.record_fields import content_of
from services.record_write import require_reason, save


def inactivate_record(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    record_id: uuid.UUID,
    *,
    reason: str | None,
    version: int | None = None,
) -> RecordAccess:
    """Raises Forbidden, NotFound, Gone (it is inactive already), Invalid (no reason), StaleVersion when a
    ``version`` was named and is not the current one."""
    access = _changeable(session, actor, record_id)
    if access.record.deleted_at is not None:
        find_record(session, actor, record_id)  # raises Gone
    reason = require_reason(reason)
    if version is not None and version != access.record.version:
        raise StaleVersion(access.record.version, ())
    before = content_of(access.record)
    now = datetime.now(UTC)
    access.record.deleted_at = access.record.updated_at = now
    access.record.deleted_by = actor.user_id
    access.record.deletion_reason = reason
    save(session, actor, cipher, access, action="medical_record.delete", before=before, reason=reason)
    return access


def restore_record(
    session: Session, actor: Actor, cipher: FieldCipher, record_id: uuid.UUID, *, reason: str | None
) -> RecordAccess:
    """Raises Forbidden, NotFound, Conflict (it is active), Invalid (no reason)."""
    access = _changeable(session, actor, record_id)
    reason = require_reason(reason)
    if access.record.deleted_at is None:
        raise Conflict("This record is active; there is nothing to restore.")
    before = content_of(access.record)
    access.record.deleted_at = access.record.deleted_by = access.record.deletion_reason = None
    access.record.updated_at = datetime.now(UTC)
    save(session, actor, cipher, access, action="medical_record.restore", before=before, reason=reason)
    return access


def _changeable(session: Session, actor: Actor, record_id: uuid.UUID) -> RecordAccess:
    actor.require(Permission.RECORD_DELETE)
    access = find_record(session, actor, record_id, inactive="show", lock=True)
    check_inactivatable(actor, access)
    return access


def check_inactivatable(actor: Actor, access: RecordAccess) -> None:
    """Raises Forbidden unless this actor may inactivate the record, and so restore it."""
    actor.require(Permission.RECORD_DELETE)
    is_responsible = access.standing.in_team and access.standing.is_responsible
    if not (actor.role is Role.DOCTOR and (access.is_author or is_responsible)):
        raise Forbidden("Only the record's author or the patient's responsible doctor may do this.")
