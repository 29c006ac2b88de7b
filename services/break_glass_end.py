"""End an emergency access before its time: the patient is masked again from the next read on."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from models import BreakGlassGrant
from services.actor import Actor
from services.audit_event import Event, record
from services.break_glass_get import NO_GRANT
from services.errors import NotFound
from services.permissions import Permission


def end_break_glass(session: Session, actor: Actor, grant_id: uuid.UUID) -> uuid.UUID:
    """End one's own access and every other that runs beside it on the same patient; gives the patient's id.

    One that is over already is left as it is. Raises Forbidden, NotFound (somebody else's).
    """
    actor.require(Permission.BREAK_GLASS)
    patient_id = session.scalar(
        select(BreakGlassGrant.patient_id).where(
            BreakGlassGrant.id == grant_id, BreakGlassGrant.user_id == actor.user_id
        )
    )
    if patient_id is None:
        raise NotFound(NO_GRANT)
    # By the database's clock, which decides whether a grant runs; it never ends before it began.
    ended = session.scalars(
        update(BreakGlassGrant)
        .where(
            BreakGlassGrant.patient_id == patient_id,
            BreakGlassGrant.user_id == actor.user_id,
            BreakGlassGrant.expires_at > func.now(),
        )
        .values(expires_at=func.greatest(func.now(), BreakGlassGrant.granted_at + text("interval '1 microsecond'")))
        .returning(BreakGlassGrant.id)
        .execution_options(synchronize_session=False)
    ).all()
    for each in ended:
        event = Event(
            "break_glass.end", "break_glass_grant", each, patient_id=patient_id, basis="break-glass", basis_id=each
        )
        record(session, actor, event)
    return patient_id
