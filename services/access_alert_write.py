"""Keep what the watch found, with its event. Of what was found already nothing is found again."""

from __future__ import annotations

import uuid

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import AccessAlert, new_id
from services.access_bursts import Burst
from services.access_rules import RuleInForce
from services.audit_event import SYSTEM, Event, record

PATIENTS_MAX = 100  # ids that an alert keeps; ``count`` is of all


def raise_alert(session: Session, rule: RuleInForce, user_id: uuid.UUID, subject_id: uuid.UUID, burst: Burst) -> bool:
    """Whether ``burst``, of that person and about that subject, is a new alert."""
    facts, limits = burst.facts, rule.limits
    alert_id = session.scalar(
        insert(AccessAlert)
        .values(
            id=new_id(), rule=rule.key.value, user_id=user_id, acting_role=facts[-1].role, subject_id=subject_id,
            started_at=facts[0].at, ends_at=burst.ends_at, last_at=facts[-1].at,
            first_sequence=min(fact.sequence for fact in facts), last_sequence=max(fact.sequence for fact in facts),
            count=burst.count, told_count=burst.count, threshold=limits.threshold or 1,
            window_minutes=limits.window_minutes,
            patient_ids=burst.patients[:PATIENTS_MAX],
        )
        .on_conflict_do_nothing()
        .returning(AccessAlert.id)
    )  # fmt: skip
    if alert_id is None:
        return False
    record(session, SYSTEM, Event("access_alert.create", "access_alert", alert_id))
    return True
