"""The names behind the ids of a page of events, for readers of the trail whose mask shows names.

An auditor works with opaque ids: for them there are no names, only the search that turns one into an id
(services/staff_directory.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Patient, User
from services.actor import Actor
from services.audit_event import Event, record
from services.masking import Visibility, role_relation, visibility


@dataclass(frozen=True, slots=True)
class Names:
    """Id → name, of people who acted and of patients. Ids that are not in it stay ids."""

    people: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)


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
