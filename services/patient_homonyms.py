"""Who could be taken for a patient: the same name, or the same mother and birth date (PRODUCT, homonyms)."""

from __future__ import annotations

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import Patient
from models.text import fold
from services.actor import Actor
from services.audit_event import Event, record
from services.permissions import Permission

SHOWN_MAX = 10

# The same name warns unless birth date and mother are both known and both differ; a different name warns when
# birth date and mother are the same (a twin, or the same person misspelt).
SIMILAR = text(
    """
    SELECT p.id FROM patients p
    WHERE p.deleted_at IS NULL AND p.id <> :id
    AND (
        (
            (
                p.name_key IN (:name, :shown_name)
                OR (p.search_names @@ plainto_tsquery('simple', :name) AND sigilo_fold(p.full_name) = :name)
            )
            AND NOT coalesce(p.birth_date <> CAST(:born AS date) AND sigilo_fold(p.mother_name) <> :mother, FALSE)
        )
        OR (p.birth_date = CAST(:born AS date) AND sigilo_fold(p.mother_name) = :mother)
    )
    ORDER BY p.id LIMIT :limit
    """
)


def find_homonyms(session: Session, actor: Actor, patient: Patient) -> list[uuid.UUID]:
    """Ids of at most ten active patients similar to ``patient``, oldest registration first, and the event that
    they were shown. None for an actor who may not read patients."""
    if not actor.may(Permission.PATIENT_READ):
        return []
    parameters = {
        "id": patient.id,
        "name": fold(patient.full_name),
        "shown_name": fold(patient.social_name or patient.full_name),
        "born": patient.birth_date,
        "mother": None if patient.mother_name is None else fold(patient.mother_name),
        "limit": SHOWN_MAX,
    }
    found = list(session.scalars(SIMILAR, parameters))
    if found:
        event = Event(action="patient.search", entity_type="patient", entity_ids=tuple(found))
        record(session, actor, event)
    return found
