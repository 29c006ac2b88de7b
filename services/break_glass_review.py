"""The review that is owed for every emergency access: a verdict by somebody who did not have it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from models import BreakGlassGrant, Patient
from services.access import patient_standing
from services.actor import Actor
from services.audit_event import Event, record
from services.break_glass_get import NO_GRANT
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.permissions import Permission

NOTE_MAX = 2000


class Verdict(StrEnum):
    """What a reviewer found. A follow-up is reviewed again; the other two are final."""

    JUSTIFIED = "JUSTIFIED"
    NOT_JUSTIFIED = "NOT_JUSTIFIED"
    FOLLOW_UP = "FOLLOW_UP"


def review_break_glass(
    session: Session, actor: Actor, grant_id: uuid.UUID, *, verdict: Verdict, note: str | None
) -> BreakGlassGrant:
    """Raises Forbidden (nobody reviews their own), NotFound (a patient of another team), Conflict (still running,
    or decided already), Invalid (a verdict other than "justified" says why in its note)."""
    actor.require(Permission.BREAK_GLASS_REVIEW)
    grant = session.get(BreakGlassGrant, grant_id, with_for_update=True, populate_existing=True)
    if grant is None:
        raise NotFound(NO_GRANT)
    basis = actor.role.value.lower()
    if actor.role.is_clinical:
        standing = patient_standing(session, actor, session.get_one(Patient, grant.patient_id))
        if not standing.in_team:
            raise NotFound(NO_GRANT)
        basis = standing.basis()
    if grant.user_id == actor.user_id:
        raise Forbidden("Nobody reviews their own emergency access: a colleague or the auditor does.")
    now = datetime.now(UTC)
    if grant.expires_at > now:
        raise Conflict("This access is still running: review it once it has ended.")
    if grant.verdict not in (None, Verdict.FOLLOW_UP):
        raise Conflict("This access was reviewed already.")
    stated = (note or "").strip() or None
    if stated is None and verdict is not Verdict.JUSTIFIED:
        raise Invalid.at("/note", "say what is wrong or what has to follow")
    if stated is not None and len(stated) > NOTE_MAX:
        raise Invalid.at("/note", f"at most {NOTE_MAX} characters")
    grant.reviewed_at, grant.reviewed_by = now, actor.user_id
    grant.verdict, grant.review_note = verdict.value, stated
    session.flush()
    event = Event("break_glass.review", "break_glass_grant", grant.id, patient_id=grant.patient_id, basis=basis)
    record(session, actor, event)
    return grant
