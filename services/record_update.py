"""Change a medical record: edit it while it is open, correct one's own once it is closed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import MedicalRecord, RecordVersion
from models.user import Role
from services.access import RecordAccess, find_record
from services.actor import Actor
from services.errors import Forbidden, Invalid, PreconditionRequired, StaleVersion
from services.field_encryption import FieldCipher
from services.masking import Visibility
from services.permissions import Permission
from services.record_fields import CONTENT, content_of, status_of, time_text
from services.record_view import record_mask
from services.record_write import check_content, note_unchanged, require_reason, save, set_content

NAME_THE_VERSION = 'Say which version you change: If-Match: "<version>", or version in the body.'


def may_update(session: Session, actor: Actor, record_id: uuid.UUID, *, lock: bool = True) -> RecordAccess:
    """The record, locked, if this actor may change it at all. Called before a body's fields are looked at, so
    that somebody outside learns nothing from how it is refused. ``lock`` is not for a form that only asks.
    Raises Forbidden, NotFound, Gone."""
    actor.require(Permission.RECORD_UPDATE)
    access = find_record(session, actor, record_id, lock=lock)
    check_updatable(actor, access)
    return access


def check_updatable(actor: Actor, access: RecordAccess) -> None:
    """Raises Forbidden unless this actor may change the record, as it is now, at all."""
    actor.require(Permission.RECORD_UPDATE)
    if access.is_author and (actor.role is Role.DOCTOR or access.standing.in_team):
        return
    if not access.standing.in_team:
        raise Forbidden("You are not on this patient's care team, so you can read this record but not change it.")
    if status_of(access.record, datetime.now(UTC)) == "CLOSED":
        raise Forbidden("This record is closed. Only its author corrects it; write an addendum instead.")


def changes_priority_only(actor: Actor, access: RecordAccess) -> bool:
    """Whether all that this actor may change is the priority: a nurse's in others' records."""
    return actor.role is Role.NURSE and not access.is_author


def update_record(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    access: RecordAccess,
    *,
    version: int | None,
    content: Mapping[str, Any],
    reason: str | None = None,
) -> RecordAccess:
    """Apply ``content`` (API names → values; what is left out stays) to the record ``may_update`` gave.

    Raises Forbidden for fields that are masked from this actor or not theirs, PreconditionRequired without
    ``version``, StaleVersion when it is not the current one, Invalid. A change that changes nothing makes no
    version.
    """
    record = access.record
    _check_fields(actor, access, content)
    if version is None:
        raise PreconditionRequired(NAME_THE_VERSION)
    if version != record.version:
        raise StaleVersion(record.version, conflicting_fields(session, access, version, content))
    if content.get("kind") == "ADDENDUM" and record.amends_id is None:
        raise Invalid.at("/kind", "a record does not become an addendum")
    if record.amends_id is not None and content.get("kind", "ADDENDUM") != "ADDENDUM":
        raise Invalid.at("/kind", "an addendum stays one")
    if content.get("restricted") is False and _amends_restricted(session, record):
        raise Invalid.at("/restricted", "an addendum to a restricted record is restricted too")
    check_content({"cid10Codes": record.cid10_codes, **content})
    if status_of(record, datetime.now(UTC)) == "CLOSED":
        reason = require_reason(reason)
    before = content_of(record)
    set_content(record, content)
    if content_of(record) == before:
        session.refresh(record)
        note_unchanged(session, actor, access)
        return access
    record.updated_at = datetime.now(UTC)
    save(session, actor, cipher, access, action="medical_record.update", before=before, reason=reason)
    return access


def writable_fields(actor: Actor, access: RecordAccess) -> tuple[str, ...]:
    """The fields (API names) that this actor may change in a record that ``may_update`` let them change: what an
    edit form has inputs for."""
    clear = [name for name, seen in record_mask(access).fields.items() if seen is Visibility.CLEAR]
    names = tuple(name for name in CONTENT if name in clear)
    if access.record.amends_id is not None or (actor.role is Role.NURSE and access.is_author):
        return tuple(name for name in names if name != "kind")
    return names if access.is_author or actor.role is not Role.NURSE else ("priority",)


def _check_fields(actor: Actor, access: RecordAccess, content: Mapping[str, Any]) -> None:
    mask = record_mask(access)
    masked = [f"/{name}" for name in content if mask.fields.get(name) is not Visibility.CLEAR]
    if masked:
        raise Forbidden("These fields are masked from you, so you can't write them.", masked)
    if changes_priority_only(actor, access):
        others = [f"/{name}" for name in content if name != "priority"]
        if others:
            raise Forbidden("Nurses change the priority of others' records, and nothing else in them.", others)
    if actor.role is Role.NURSE and content.get("kind", access.record.kind) != access.record.kind:
        # Else a triage note, which is all they may begin, would end as a consultation.
        raise Forbidden("Nurses write triage notes and addenda, and make nothing else of them.", ["/kind"])


def _amends_restricted(session: Session, addendum: MedicalRecord) -> bool:
    amended = None if addendum.amends_id is None else session.get(MedicalRecord, addendum.amends_id)
    return amended is not None and amended.restricted


def conflicting_fields(
    session: Session, access: RecordAccess, base_version: int, content: Mapping[str, Any]
) -> tuple[str, ...]:
    """Which of the fields sent were changed by somebody since ``base_version``, as far as the actor may know.

    All of them when that version never existed.
    """
    mask = record_mask(access)
    visible = [name for name in content if mask.fields.get(name) is Visibility.CLEAR]
    base = session.get(RecordVersion, (access.record.id, base_version))
    if base is None:
        return tuple(visible)
    current = content_of(access.record)
    return tuple(
        name for name in visible if base.content.get(name) != current[name] and not _same(content, current, name)
    )


def _same(sent: Mapping[str, Any], current: Mapping[str, Any], name: str) -> bool:
    """Whether the caller wants what is there already: then there is nothing to resolve."""
    value = sent[name]
    return bool((time_text(value) if isinstance(value, datetime) else value) == current[name])
