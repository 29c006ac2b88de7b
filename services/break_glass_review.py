"""The review that is owed for every emergency access: a verdict by somebody who did not have it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from models import BreakGlassGrant, Patient, new_id
from services.access import patient_standing
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.break_glass_get import NO_GRANT
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.record_fields import time_text
from services.record_write import audit_key

NOTE_MAX = 2000


class Verdict(StrEnum):
    """What a reviewer found. A follow-up is reviewed again; the other two are final."""

    JUSTIFIED = "JUSTIFIED"
    NOT_JUSTIFIED = "NOT_JUSTIFIED"
    FOLLOW_UP = "FOLLOW_UP"


def review_break_glass(
    session: Session, actor: Actor, cipher: FieldCipher, grant_id: uuid.UUID, *, verdict: Verdict, note: str | None,
    follows: datetime | None = None,
) -> BreakGlassGrant:  # fmt: skip
    """``follows`` is the time of the review that the reviewer saw, where it asked for a follow-up: no verdict takes
    the place of one that its author did not read. What it replaces is in the event, as digests.

    Raises Forbidden (nobody reviews their own), NotFound (a patient of another team), Conflict (still running,
    decided already, or reviewed meanwhile), Invalid (a verdict other than "justified" says why in its note).
    """
    actor.require(Permission.BREAK_GLASS_REVIEW)
    grant, patient, basis = _find(session, actor, grant_id)
    if grant.user_id == actor.user_id:
        raise Forbidden("Nobody reviews their own emergency access: a colleague or the auditor does.")
    now = datetime.now(UTC)
    if grant.expires_at > now:
        raise Conflict("This access is still running: review it once it has ended.")
    if grant.verdict not in (None, Verdict.FOLLOW_UP):
        raise Conflict("This access was reviewed already, and that verdict is final.")
    if grant.reviewed_at != follows:
        raise Conflict("Somebody reviewed this access meanwhile. Read what they found, and decide again.")
    stated = (note or "").strip() or None
    if stated is None and verdict is not Verdict.JUSTIFIED:
        raise Invalid.at("/note", "say what is wrong or what has to follow")
    if stated is not None and len(stated) > NOTE_MAX:
        raise Invalid.at("/note", f"at most {NOTE_MAX} characters")
    before = _content(grant)
    grant.reviewed_at, grant.reviewed_by = now, actor.user_id
    grant.verdict, grant.review_note = verdict.value, stated
    session.flush()
    event_id = new_id()
    event = Event(
        "break_glass.review", "break_glass_grant", grant.id, patient_id=grant.patient_id, basis=basis,
        changes=changes_between(audit_key(cipher, patient), event_id, before, _content(grant)),
    )  # fmt: skip
    record(session, actor, event, event_id=event_id)
    return grant


def _find(session: Session, actor: Actor, grant_id: uuid.UUID) -> tuple[BreakGlassGrant, Patient, str]:
    """The access, locked unless its verdict is final (the database locks for staff what may still change), its
    patient and what opens it to the reviewer. Raises NotFound."""
    grant = session.get(BreakGlassGrant, grant_id, with_for_update=True, populate_existing=True)
    grant = grant or session.get(BreakGlassGrant, grant_id)
    if grant is None:
        raise NotFound(NO_GRANT)
    patient = session.get_one(Patient, grant.patient_id)
    if not actor.role.is_clinical:
        return grant, patient, actor.role.value.lower()
    standing = patient_standing(session, actor, patient)
    if not standing.in_team:
        raise NotFound(NO_GRANT)
    return grant, patient, standing.basis()


def _content(grant: BreakGlassGrant) -> dict[str, str | None]:
    """What the digests of a review's event are over."""
    return {
        "verdict": grant.verdict,
        "note": grant.review_note,
        "reviewerId": None if grant.reviewed_by is None else str(grant.reviewed_by),
        "reviewedAt": time_text(grant.reviewed_at),
    }
