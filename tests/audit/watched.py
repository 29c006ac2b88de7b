"""People who do things that are sealed, and the watch that looks them through."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from config import Principal
from models import AccessAlert, new_id
from models.engine import Databases
from services.access_rules import RuleKey
from services.access_watch import BATCH, Watched, watch_accesses
from services.audit_event import Event, Origin, event_row
from tests.audit.trail import drain_all, insert_rows
from tests.factories.cast import Person

SetRule = Callable[..., None]  # the fixture ``set_rule``: a rule's key, and numbers of it by name
ZONE = ZoneInfo("America/Sao_Paulo")
NOON = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # at noon of the clinic's clock


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def opened(patient: uuid.UUID, *, basis: str = "care-team", action: str = "patient.read") -> Event:
    return Event(action, "patient", patient, patient_id=patient, basis=basis)


def listed(*patients: uuid.UUID) -> Event:
    return Event("patient.list", "patient", entity_ids=patients)


def did(databases: Databases, person: Person, *acts: tuple[datetime, Event], **values: Any) -> None:
    """``person`` did it, each at its time, and it was sealed."""
    origin = Origin(person.id, person.actor.role.value)
    insert_rows(databases, [event_row(event, origin) | {"occurred_at": at} | values for at, event in acts])
    drain_all(databases)


def opens(databases: Databases, person: Person, count: int, *, start: float = 0, every: float = 1) -> None:
    """``person`` opened so many patients, one each ``every`` minutes from ``start`` minutes after noon."""
    acts = [(minutes(start + number * every), opened(new_id())) for number in range(count)]
    did(databases, person, *acts)


def watch(databases: Databases, *, limit: int = BATCH) -> Watched:
    with databases.session(Principal.WORKER) as session:
        return watch_accesses(session, ZONE, limit=limit)


def watch_all(databases: Databases, *, limit: int = BATCH) -> int:
    """Look until everything was looked through; gives how many alerts are new."""
    alerts = 0
    while True:
        looked = watch(databases, limit=limit)
        alerts += looked.alerts
        if looked.is_done:
            return alerts


def alerts(databases: Databases) -> list[AccessAlert]:
    """Every alert there is, in the order they were found."""
    with databases.session(Principal.WORKER) as session:
        return list(session.scalars(select(AccessAlert).order_by(AccessAlert.number)))


def seen(databases: Databases) -> list[tuple[str, uuid.UUID, int]]:
    """(rule, person, count) of each."""
    return [(alert.rule, alert.user_id, alert.count) for alert in alerts(databases)]


def of_rule(trail: Databases, key: RuleKey) -> list[AccessAlert]:
    return [alert for alert in alerts(trail) if alert.rule == key]


def rare_name() -> str:
    """A family's name that nobody has."""
    return f"Zu{secrets.token_hex(4).translate(str.maketrans('0123456789', 'ghijklmnop'))}"
