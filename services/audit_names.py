"""The names behind the ids of a page of events, for readers of the trail whose mask shows names.

An auditor works with opaque ids: for them there are no names, only the search that turns one into an id.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Patient, Role, User, UserRole
from models.text import fold
from services.actor import Actor
from services.audit_event import Event, record
from services.masking import Visibility, role_relation, visibility
from services.permissions import Permission

FOUND_MAX = 20
QUERY_MAX = 100


@dataclass(frozen=True, slots=True)
class Names:
    """Id → name, of people who acted and of patients. Ids that are not in it stay ids."""

    people: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StaffMember:
    """Somebody who can act, to be chosen as a filter."""

    id: uuid.UUID
    name: str
    council: str | None


def names_behind(session: Session, actor: Actor, events: Iterable[dict[str, Any]]) -> Names:
    """Names for ``events`` (of ``list_events``, so of the reader's own patients only). Two queries and an event."""
    relation = role_relation(actor.role, in_team=True)
    if visibility("patient", "fullName", relation) is not Visibility.CLEAR:
        return Names()
    shown = list(events)
    people = {event["actor"]["id"] for event in shown} - {None}
    patients = {event["patientId"] for event in shown} - {None}
    found = Names()
    if people:
        acted = session.execute(select(User.id, User.full_name).where(User.id.in_(people)))
        found.people.update({str(user_id): name for user_id, name in acted})
    if patients:
        leading = func.coalesce(Patient.social_name, Patient.full_name)
        rows = session.execute(select(Patient.id, leading).where(Patient.id.in_(patients)))
        found.patients.update({str(patient_id): name for patient_id, name in rows if name is not None})
        record(session, actor, Event("patient.list", "patient", entity_ids=tuple(sorted(map(uuid.UUID, patients)))))
    return found


def search_staff(session: Session, actor: Actor, q: str) -> list[StaffMember]:
    """At most 20 people other than patients whose name holds every word of ``q``, whatever accents and case.

    Raises Forbidden.
    """
    actor.require(Permission.TRAIL_READ)
    words = fold(q[:QUERY_MAX]).split()
    if not words:
        return []
    works_here = select(UserRole.role).where(UserRole.user_id == User.id, UserRole.role != Role.PATIENT.value)
    query = select(User.id, User.full_name, User.council).where(works_here.exists())
    for word in words:
        query = query.where(func.sigilo_fold(User.full_name).contains(word, autoescape=True))
    people = [StaffMember(*row) for row in session.execute(query.order_by(User.full_name, User.id).limit(FOUND_MAX))]
    record(session, actor, Event("user.search", "user", entity_ids=tuple(person.id for person in people)))
    return people
