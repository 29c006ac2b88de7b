"""Keep what the watch found: a new alert with its event, or more of one that nobody has reviewed yet."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import AccessAlert, new_id
from services.access_bursts import Burst, Covered
from services.access_rules import RuleInForce, RuleKey
from services.audit_event import SYSTEM, Event, record

PATIENTS_MAX = 100  # ids that an alert keeps; ``count`` is of all


@dataclass(frozen=True, slots=True)
class Known:
    """An alert that exists. What happens after its review is not covered by it."""

    start: datetime
    covered: Covered
    is_open: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What ``rule`` found of one person, about ``subject_id``, from ``start`` on."""

    rule: RuleInForce
    user_id: uuid.UUID
    subject_id: uuid.UUID
    start: datetime
    burst: Burst


def known_alerts(
    session: Session, key: RuleKey, since: Mapping[uuid.UUID, datetime]
) -> dict[tuple[uuid.UUID, uuid.UUID], list[Known]]:
    """(person, subject) → their alerts of the rule that reach beyond ``since``, in the order of time."""
    rows = session.scalars(
        select(AccessAlert)
        .where(AccessAlert.rule == key.value, AccessAlert.user_id.in_(since))
        .where(AccessAlert.ends_at >= min(since.values()))
        .order_by(AccessAlert.started_at)
        .execution_options(populate_existing=True)
    )
    found: dict[tuple[uuid.UUID, uuid.UUID], list[Known]] = defaultdict(list)
    for row in rows:
        is_open = row.reviewed_at is None
        covered = Covered(row.started_at, row.ends_at if is_open else row.last_at)
        found[row.user_id, row.subject_id].append(Known(row.started_at, covered, is_open))
    return found


def raise_alert(session: Session, found: Found) -> bool:
    """Whether it is new. One that is there already takes what it lacks: it never shrinks, and a reviewed one stays."""
    facts, limits = found.burst.facts, found.rule.limits
    newest: dict[str, Any] = {
        "last_at": facts[-1].at,
        "last_sequence": max(fact.sequence for fact in facts),
        "count": found.burst.count,
        "patient_ids": found.burst.patients[:PATIENTS_MAX],
    }
    alert_id = session.scalar(
        insert(AccessAlert)
        .values(
            id=new_id(), rule=found.rule.key.value, user_id=found.user_id, acting_role=facts[-1].role,
            subject_id=found.subject_id, started_at=found.start, ends_at=found.burst.ends_at,
            first_sequence=min(fact.sequence for fact in facts), threshold=limits.threshold or 1,
            window_minutes=limits.window_minutes, **newest,
        )
        .on_conflict_do_nothing()
        .returning(AccessAlert.id)
    )  # fmt: skip
    if alert_id is not None:
        record(session, SYSTEM, Event("access_alert.create", "access_alert", alert_id))
        return True
    session.execute(
        update(AccessAlert)
        .where(
            AccessAlert.rule == found.rule.key.value, AccessAlert.user_id == found.user_id,
            AccessAlert.subject_id == found.subject_id, AccessAlert.started_at == found.start,
            AccessAlert.reviewed_at.is_(None), AccessAlert.count < found.burst.count,
        )
        .values(**newest)
    )  # fmt: skip
    return False
