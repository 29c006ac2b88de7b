"""One's own drafts, newest first: of whom, of what, and when. What was written in them is not read for this."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from models import Draft, Patient
from services.actor import Actor
from services.audit_event import Event, record
from services.masking import Visibility, role_relation, visibility
from services.permissions import Permission

MOST = 100


@dataclass(frozen=True, slots=True)
class DraftPlace:
    """Where a draft belongs. ``patient``: the name shown first, None where none was chosen or it is hidden."""

    id: uuid.UUID
    patient_id: uuid.UUID | None
    patient: str | None
    record_id: uuid.UUID | None
    amends_id: uuid.UUID | None
    updated_at: datetime
    expires_at: datetime


def list_drafts(session: Session, actor: Actor) -> list[DraftPlace]:
    """All of the actor's drafts, at most ``MOST``. They name patients, so showing them is in the trail."""
    actor.require(Permission.RECORD_UPDATE)
    rows = session.execute(
        select(Draft, Patient.full_name, Patient.social_name)
        .outerjoin(Patient, Patient.id == Draft.patient_id)
        .where(*_mine(actor))
        .order_by(Draft.updated_at.desc())
        .limit(MOST)
    ).all()
    shows_names = visibility("patient", "fullName", role_relation(actor.role, in_team=False)) is Visibility.CLEAR
    patients = tuple(dict.fromkeys(draft.patient_id for draft, _, _ in rows if draft.patient_id is not None))
    record(session, actor, Event("draft.list", "patient", entity_ids=patients))
    return [
        _place(draft, (social_name or full_name) if shows_names else None) for draft, full_name, social_name in rows
    ]


def offered_drafts(
    session: Session,
    actor: Actor,
    *,
    record_id: uuid.UUID | None = None,
    patient_id: uuid.UUID | None = None,
    amends_id: uuid.UUID | None = None,
) -> list[DraftPlace]:
    """Drafts of the form that is being opened: of an edit of ``record_id``, else of a new record of
    ``patient_id`` (None: of nobody yet), an addendum to ``amends_id`` where one is named. Newest first."""
    conditions: Sequence[ColumnElement[bool]] = (
        [Draft.record_id == record_id]
        if record_id is not None
        else [
            Draft.record_id.is_(None),
            Draft.patient_id.is_(None) if patient_id is None else Draft.patient_id == patient_id,
            Draft.amends_id.is_(None) if amends_id is None else Draft.amends_id == amends_id,
        ]
    )
    rows = session.scalars(
        select(Draft).where(*_mine(actor), *conditions).order_by(Draft.updated_at.desc()).limit(MOST)
    ).all()
    return [_place(draft, None) for draft in rows]


def _mine(actor: Actor) -> Sequence[ColumnElement[bool]]:
    return (Draft.user_id == actor.user_id, Draft.expires_at > datetime.now(UTC))


def _place(draft: Draft, patient: str | None) -> DraftPlace:
    return DraftPlace(
        id=draft.id,
        patient_id=draft.patient_id,
        patient=patient,
        record_id=draft.record_id,
        amends_id=draft.amends_id,
        updated_at=draft.updated_at,
        expires_at=draft.expires_at,
    )
