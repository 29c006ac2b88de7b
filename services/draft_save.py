"""Keep a form's text on the server, every few seconds while somebody writes.

A form brings the id of its draft along from when it was shown, so that a lost answer makes no second draft. The
newer text replaces the older only where it knew it: written by the same open form, or with the revision that the
form was shown. Else both are kept, the newer as a draft of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Draft, RecordVersion, new_id
from services.access import RecordAccess, find_patient, find_record
from services.actor import Actor
from services.draft_words import own_words
from services.errors import Conflict, Invalid
from services.masking import Visibility, mask_for
from services.permissions import Permission
from services.record_fields import CONTENT
from services.record_text import touched, typed
from services.record_write import visit_of

LASTS = timedelta(days=14)
DRAFTS_MAX = 100  # of one person at a time
BESIDE = ("reason", "helpedBy")  # no fields of a record: why it is corrected, and which answers it was filled with
FIELDS = (*CONTENT, *BESIDE)
WORDS = ("title", "diagnosis", "treatment", "notes", "cid10Codes")


@dataclass(frozen=True, slots=True)
class DraftText:
    """What an open form sends. ``form`` names that form; ``revision`` is of the draft it knows, 0 for none."""

    id: uuid.UUID
    form: str
    revision: int = 0
    patient_id: uuid.UUID | None = None
    record_id: uuid.UUID | None = None
    base_version: int | None = None
    visit_id: uuid.UUID | None = None
    amends_id: uuid.UUID | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SavedDraft:
    id: uuid.UUID
    revision: int
    saved_at: datetime
    is_apart: bool  # the draft was written elsewhere meanwhile; this text is now one of its own


def save_draft(session: Session, actor: Actor, given: DraftText, zone: ZoneInfo) -> SavedDraft | None:
    """None for a form in which nothing was written. Raises Forbidden, NotFound (patient, record), Invalid (no such
    version, visit). Writing down one's own words reads nothing, so there is no event."""
    actor.require(Permission.RECORD_UPDATE)
    lock_draft(session, given.id)
    known = session.get(Draft, given.id)
    is_foreign = known is not None and known.user_id != actor.user_id
    is_apart = known is not None and not is_foreign and not _knew(known, given)
    before = {} if known is None or is_foreign else known.content
    patient_id, content = _content(session, actor, given, before, zone)
    if known is None and not _says_something(given, content["values"]):
        return None
    if known is None or is_foreign or is_apart:
        _refuse_too_many(session, actor)
        draft_id = given.id if known is None else new_id()
        known = Draft(id=draft_id, user_id=actor.user_id, created_at=datetime.now(UTC), revision=0)
        session.add(known)
    known.patient_id, known.record_id, known.base_version = patient_id, given.record_id, given.base_version
    known.visit_id, known.amends_id = given.visit_id, given.amends_id
    known.content = content
    known.revision += 1
    known.updated_at = datetime.now(UTC)
    known.expires_at = known.updated_at + LASTS
    session.flush()
    return SavedDraft(known.id, known.revision, known.updated_at, is_apart)


def _refuse_too_many(session: Session, actor: Actor) -> None:
    kept = select(func.count()).where(Draft.user_id == actor.user_id, Draft.expires_at > func.now())
    if (session.scalar(kept) or 0) >= DRAFTS_MAX:
        raise Conflict("You have too many drafts. Save or discard some of them, and this one is kept again.")


def lock_draft(session: Session, draft_id: uuid.UUID) -> None:
    """Let one request at a time touch this draft, whether it exists yet or not."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"sigilo draft {draft_id}", 0))))


def _knew(draft: Draft, given: DraftText) -> bool:
    return draft.content["form"] == given.form or draft.revision == given.revision


def _says_something(given: DraftText, values: Mapping[str, str]) -> bool:
    """Any change of an edit does; of a new form, words do, and the priority it begins with does not."""
    return any(text.strip() for name, text in values.items() if given.record_id is not None or name in WORDS)


def _content(
    session: Session, actor: Actor, given: DraftText, before: Mapping[str, Any], zone: ZoneInfo
) -> tuple[uuid.UUID | None, dict[str, Any]]:
    """(whose draft it is, what is kept of it)."""
    values = {name: text for name, text in given.values.items() if name in FIELDS}
    if given.record_id is None:
        if given.patient_id is not None:
            find_patient(session, actor, given.patient_id)
            visit_of(session, given.patient_id, given.visit_id)
        if given.amends_id is not None:
            find_record(session, actor, given.amends_id, inactive="show")
        return given.patient_id, {"form": given.form, "values": values, "own": {}}
    access = find_record(session, actor, given.record_id, inactive="show")
    version = session.get(RecordVersion, (given.record_id, given.base_version or 0))
    if version is None:
        raise Invalid.at("/version", "a version of this record")
    clear = clear_fields(access, version)
    values, own = _changes(values, typed(version.content, zone), clear, before)
    return access.record.patient_id, {"form": given.form, "values": values, "own": own}


def clear_fields(access: RecordAccess, version: RecordVersion) -> frozenset[str]:
    """The fields of ``version`` that this actor sees now: it is as restricted as the record is or was then."""
    restricted = access.record.restricted or bool(version.content.get("restricted"))
    mask = mask_for("record", access.relation, restricted=restricted)
    return frozenset(name for name, seen in mask.fields.items() if seen is Visibility.CLEAR)


def _changes(
    values: Mapping[str, str], base: Mapping[str, str], clear: frozenset[str], before: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Of an edit: (fields that were changed, which words of them are the writer's own).

    A field that is masked from the writer by now is kept as typed and compared with nothing, for that would tell
    what it says; its own words stay those that were worked out while the writer saw it.
    """
    seen_base = {name: text for name, text in base.items() if name in clear}
    changed = touched({name: text for name, text in values.items() if name in clear}, seen_base)
    beside = {name: values[name] for name in BESIDE if values.get(name)}
    old_values, old_own = before.get("values", {}), before.get("own", {})
    masked = [name for name in CONTENT if name not in clear]
    blind = {name: values.get(name, old_values.get(name)) for name in masked if name in values or name in old_values}
    own = own_words(seen_base, changed) | {name: old_own[name] for name in masked if name in old_own}
    return changed | blind | beside, own | beside
