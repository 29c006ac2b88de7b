"""Save what an edit form sends: only the fields that were touched in it, so that nothing is undone unseen."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from models import RecordVersion
from services.access import RecordAccess
from services.actor import Actor
from services.ai_help import NO_HELP, help_with_codes
from services.draft_get import discard_draft
from services.errors import Invalid
from services.field_encryption import FieldCipher
from services.record_text import touched, typed
from services.record_update import may_update, update_record


def edit_record(
    session: Session, actor: Actor, cipher: FieldCipher, record_id: uuid.UUID, *,
    version: int, texts: Mapping[str, str], content: Mapping[str, Any], reason: str | None, zone: ZoneInfo,
    form_id: uuid.UUID, helped_by: Sequence[uuid.UUID] = (),
) -> RecordAccess:  # fmt: skip
    """``texts`` are the inputs as typed, ``content`` the same as values; ``version`` is what the form showed;
    ``helped_by``: the questions whose answers codes were taken from.

    Its draft ``form_id`` goes. Raises Invalid (no such version), and whatever ``may_update`` and ``update_record`` do.
    """
    access = may_update(session, actor, record_id)
    base = session.get(RecordVersion, (record_id, version))
    if base is None:
        raise Invalid.at("/version", "a version of this record")
    changed = touched(texts, typed(base.content, zone))
    content = {name: value for name, value in content.items() if name in changed}
    access = save_edit(
        session, actor, cipher, access, version=version, content=content, reason=reason, helped_by=helped_by
    )
    discard_draft(session, actor, form_id)
    return access


def save_edit(
    session: Session, actor: Actor, cipher: FieldCipher, access: RecordAccess, *,
    version: int, content: Mapping[str, Any], reason: str | None, helped_by: Sequence[uuid.UUID],
) -> RecordAccess:  # fmt: skip
    """As ``update_record``, and where codes that are new in the record were taken from answers, it says so."""
    record = access.record
    added = [code for code in content.get("cid10Codes") or () if code not in record.cid10_codes]
    helped = NO_HELP
    if added and version == record.version:
        helped = help_with_codes(session, actor, cipher, record.patient_id, helped_by, added)
    if helped.used:
        content = {**content, "notes": helped.noted(content.get("notes", record.notes))}
    access = update_record(session, actor, cipher, access, version=version, content=content, reason=reason)
    helped.settle(session, actor, record.id)
    return access
