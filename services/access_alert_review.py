"""The verdict on an alert, by an auditor whom it is not about."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from models import AccessAlert, new_id
from services.access_alert_view import NO_ALERT
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.permissions import Permission

NOTE_MAX = 2000


class AlertVerdict(StrEnum):
    """What a reviewer found; final. FALSE_ALARM: nothing unusual happened, and the rule could be looser."""

    JUSTIFIED = "JUSTIFIED"
    NOT_JUSTIFIED = "NOT_JUSTIFIED"
    FALSE_ALARM = "FALSE_ALARM"


def review_alert(
    session: Session, actor: Actor, cipher: FieldCipher, alert_id: uuid.UUID, *, verdict: AlertVerdict,
    note: str | None, count: int | None = None,
) -> AccessAlert:  # fmt: skip
    """In ``session``'s transaction, as the auditor. ``count`` is what the reviewer saw: an alert that grew meanwhile is
    read again first.

    Raises Forbidden (nobody reviews what is about them), NotFound, Conflict (reviewed already, or grown), Invalid
    ("not justified" says why in its note).
    """
    actor.require(Permission.ALERT_REVIEW)
    # The database locks what may still change, and nothing else, for auditors.
    alert = session.get(AccessAlert, alert_id, with_for_update=True, populate_existing=True)
    alert = alert or session.get(AccessAlert, alert_id)
    if alert is None:
        raise NotFound(NO_ALERT)
    if alert.user_id == actor.user_id:
        raise Forbidden("Nobody reviews an alert about themselves: another auditor does.")
    if alert.verdict is not None:
        raise Conflict("This alert was reviewed already, and that verdict is final.")
    if count is not None and count != alert.count:
        raise Conflict("More happened meanwhile. Read the alert again, and decide then.")
    stated = (note or "").strip() or None
    if stated is None and verdict is AlertVerdict.NOT_JUSTIFIED:
        raise Invalid.at("/note", "say what is wrong and what follows")
    if stated is not None and len(stated) > NOTE_MAX:
        raise Invalid.at("/note", f"at most {NOTE_MAX} characters")
    alert.reviewed_at, alert.reviewed_by = datetime.now(UTC), actor.user_id
    alert.verdict, alert.review_note = verdict.value, stated
    session.flush()
    event_id = new_id()
    changes = changes_between(cipher.digest_key, event_id, {}, {"verdict": verdict.value, "note": stated})
    record(session, actor, Event("access_alert.review", "access_alert", alert.id, changes=changes), event_id=event_id)
    return alert
