"""Nobody waits for the answer any more: the question leaves the queue, or its worker stops within a second."""

from __future__ import annotations

import uuid

from sqlalchemy import func
from sqlalchemy.orm import Session

from observability.metrics import AI_QUESTIONS, AI_USE
from services.actor import Actor
from services.ai_get import own_request
from services.audit_event import Event, record


def cancel_request(session: Session, actor: Actor, request_id: uuid.UUID) -> bool:
    """Whether there was something to stop. Raises Forbidden, NotFound."""
    row = own_request(session, actor, request_id, lock=True)
    if row.state not in ("WAITING", "RUNNING"):
        return False
    row.state = "CANCELLED"
    row.cancelled_at = row.finished_at = func.now()
    row.question_cipher = row.partial_cipher = None
    record(session, actor, Event("ai.cancel", "ai_request", row.id, patient_id=row.patient_id))
    session.flush()
    AI_QUESTIONS.labels(AI_USE[row.use], "cancelled").inc()
    return True
