"""Read one's own draft again, through today's mask.

A draft of an edit holds what the record said together with what was changed in it. Whoever no longer sees the
record gets back the words they added, and nothing of what they added them to (SECURITY 38).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from models import Draft, RecordVersion
from services.access import find_record
from services.actor import Actor
from services.audit_event import Event, record
from services.draft_save import clear_fields, lock_draft
from services.errors import NotFound
from services.permissions import Permission
from services.record_fields import CONTENT

NO_DRAFT = "There is no such draft: it was saved, discarded, or is older than two weeks."


@dataclass(frozen=True, slots=True)
class ShownDraft:
    """``values``: field → text as typed, of an edit the changed fields only; ``masked``: fields of which only the
    writer's own words are left in ``values``."""

    id: uuid.UUID
    revision: int
    patient_id: uuid.UUID | None
    record_id: uuid.UUID | None
    base_version: int | None
    visit_id: uuid.UUID | None
    amends_id: uuid.UUID | None
    updated_at: datetime
    values: Mapping[str, str]
    masked: tuple[str, ...]


def get_draft(session: Session, actor: Actor, draft_id: uuid.UUID) -> ShownDraft:
    """Raises NotFound for a draft that is none, has expired, or is somebody else's."""
    actor.require(Permission.RECORD_UPDATE)
    draft = session.get(Draft, draft_id)
    if draft is None or draft.user_id != actor.user_id or draft.expires_at <= datetime.now(UTC):
        raise NotFound(NO_DRAFT)
    values: dict[str, str] = dict(draft.content["values"])
    masked: tuple[str, ...] = ()
    if draft.record_id is not None:
        clear = _clear(session, actor, draft, tuple(values))
        masked = tuple(name for name in values if name in CONTENT and name not in clear)
        own = draft.content["own"]
        values = {name: own.get(name, "") if name in masked else text for name, text in values.items()}
    return ShownDraft(
        id=draft.id,
        revision=draft.revision,
        patient_id=draft.patient_id,
        record_id=draft.record_id,
        base_version=draft.base_version,
        visit_id=draft.visit_id,
        amends_id=draft.amends_id,
        updated_at=draft.updated_at,
        values={name: text for name, text in values.items() if text or name not in masked},
        masked=masked,
    )


def _clear(session: Session, actor: Actor, draft: Draft, shown: Sequence[str]) -> frozenset[str]:
    """What of the record the draft may show. An edit holds whole fields, with what others wrote in them: to see any of
    it is to read the record, and so in the trail."""
    try:
        access = find_record(session, actor, draft.record_id, inactive="show")  # type: ignore[arg-type]
    except NotFound:  # inactivated, and no longer theirs to know of
        return frozenset()
    version = session.get(RecordVersion, (draft.record_id, draft.base_version))
    clear = frozenset() if version is None else clear_fields(access, version)
    if clear & set(shown):
        basis = access.standing.basis(is_author=access.is_author)
        record(
            session, actor,
            Event(
                "medical_record.read", "medical_record", draft.record_id, patient_id=draft.patient_id,
                to_version=draft.base_version, basis=basis, basis_id=access.standing.grant_id,
            ),
        )  # fmt: skip
    return clear


def discard_draft(session: Session, actor: Actor, draft_id: uuid.UUID) -> None:
    """Delete one's own draft, because it was saved as a record or is not wanted. No such draft is fine."""
    lock_draft(session, draft_id)
    session.execute(delete(Draft).where(Draft.id == draft_id, Draft.user_id == actor.user_id))
