"""Unusual accesses that were found."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from config import Principal
from models import AccessAlert, new_id
from models.engine import Databases
from tests.factories.cast import Person


def make_alert(databases: Databases, person: Person, **values: Any) -> uuid.UUID:
    """An open alert about ``person``, of the last hour; no event stands behind it."""
    started = values.pop("started_at", datetime.now(UTC) - timedelta(hours=1))
    given = {
        "rule": "many_patients", "subject_id": person.id, "acting_role": person.actor.role.value, "count": 43,
        "threshold": 40, "window_minutes": 60, "patient_ids": [new_id(), new_id()], "first_sequence": 1,
        "last_sequence": 50, "ends_at": started + timedelta(hours=1), "last_at": started + timedelta(minutes=50),
    } | values  # fmt: skip
    given.setdefault("told_count", given["count"])
    alert = AccessAlert(id=new_id(), user_id=person.id, started_at=started, **given)
    with databases.session(Principal.WORKER) as session:
        session.add(alert)
    return alert.id
