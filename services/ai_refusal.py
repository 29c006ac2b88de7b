"""A patient wants no AI used on their record: noted by themselves or by whom they told, and in force at once.

It stops questions that wait or are being answered, and takes back every answer that nobody has accepted yet. (LGPD
art. 18 and 20; CFM 2.454/2026: the patient is told and may refuse.)
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import AiRefusal, AiRequest, new_id
from models.user import Role
from services.access import NO_PATIENT, find_patient
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import Conflict, NotFound
from services.permissions import Permission
from services.record_fields import time_text

REFUSED = "This patient wants no AI used on their record."
REFUSED_SINCE = "The patient has refused AI since you asked, and allowed it again. Ask again."


def refused_since(request: str) -> str:
    """SQL boolean: the patient of the row ``request`` of ai_requests refused at some moment since it was asked. Who
    allows it again does so for what is asked from then on."""
    return (
        f"EXISTS (SELECT FROM ai_refusals r WHERE r.patient_id = {request}.patient_id"
        f" AND (r.ended_at IS NULL OR r.ended_at > {request}.created_at))"
    )


def require_no_refusal(session: Session, patient_id: uuid.UUID, *, since: datetime | None = None) -> None:
    """Raises Conflict where the patient refuses, or did at some moment ``since`` then."""
    if standing_refusal(session, patient_id) is not None:
        raise Conflict(REFUSED)
    if since is not None:
        ended = select(AiRefusal.id).where(AiRefusal.patient_id == patient_id, AiRefusal.ended_at > since)
        if session.scalar(ended.limit(1)) is not None:
            raise Conflict(REFUSED_SINCE)


def standing_refusal(session: Session, patient_id: uuid.UUID) -> dict[str, Any] | None:
    """``{"refusedAt"}``; None where nothing is refused."""
    row = session.scalars(
        select(AiRefusal).where(AiRefusal.patient_id == patient_id, AiRefusal.ended_at.is_(None))
    ).one_or_none()
    return None if row is None else {"refusedAt": time_text(row.refused_at)}


def refuse_ai(session: Session, actor: Actor, patient_id: uuid.UUID) -> None:
    """Once more is no harm. Raises Forbidden, NotFound."""
    _allowed(session, actor, patient_id)
    noted = insert(AiRefusal).values(id=new_id(), patient_id=patient_id, noted_by=actor.user_id)
    if session.scalar(noted.on_conflict_do_nothing().returning(AiRefusal.id)) is None:
        return
    record(session, actor, Event("ai.refuse", "patient", patient_id, patient_id=patient_id))
    # A patient may not touch others' questions: nothing of them is shown or answered from now on, and the clean-up
    # empties them.
    if actor.role is not Role.PATIENT:
        take_back(session, patient_id)


def take_back(session: Session, patient_id: uuid.UUID) -> None:
    """Everything that was asked and not accepted: stopped, and its texts gone. As staff or as the worker."""
    session.execute(
        update(AiRequest)
        .where(AiRequest.patient_id == patient_id, AiRequest.state.in_(("WAITING", "RUNNING")))
        .values(state="CANCELLED", cancelled_at=func.now(), finished_at=func.now())
    )
    session.execute(
        update(AiRequest)
        .where(AiRequest.patient_id == patient_id, AiRequest.verdict.is_(None))
        .values(question_cipher=None, partial_cipher=None, answer_cipher=None, expires_at=func.now())
    )


def allow_ai(session: Session, actor: Actor, patient_id: uuid.UUID) -> None:
    """They changed their mind. Raises Forbidden, NotFound."""
    _allowed(session, actor, patient_id)
    row = session.scalars(
        select(AiRefusal).where(AiRefusal.patient_id == patient_id, AiRefusal.ended_at.is_(None)).with_for_update()
    ).one_or_none()
    if row is not None:
        row.ended_at, row.ended_by = func.now(), actor.user_id  # by the clock that questions have
        record(session, actor, Event("ai.allow", "patient", patient_id, patient_id=patient_id))
        session.flush()


def _allowed(session: Session, actor: Actor, patient_id: uuid.UUID) -> None:
    actor.require(Permission.AI_REFUSE)
    if actor.role is Role.PATIENT:
        if actor.patient_id != patient_id:
            raise NotFound(NO_PATIENT)
        return
    find_patient(session, actor, patient_id)
