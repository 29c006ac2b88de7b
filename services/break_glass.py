"""Break the glass: half an hour of reading one patient in the clear from outside the care team."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from models import BreakGlassGrant, Setting, new_id
from observability.metrics import REVEALS
from services.access import find_patient
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import Conflict, Invalid
from services.notification_create import notify_team_and_admins
from services.permissions import Permission

REASON_MIN, REASON_MAX = 10, 1000
LETTERS_MIN = 4  # different ones: "aaaaaaaaaa" and ".........." are no reasons
DEFAULT_MINUTES = 30
NOTIFICATION = "patient.break_glass"


class Preset(StrEnum):
    """Common reasons, to which the text adds what is particular."""

    EMERGENCY = "EMERGENCY"
    COVERING = "COVERING"
    SECOND_OPINION = "SECOND_OPINION"
    PATIENT_REQUEST = "PATIENT_REQUEST"


def break_glass(
    session: Session, actor: Actor, patient_id: uuid.UUID, *, reason: str | None, preset: Preset | None = None
) -> BreakGlassGrant:
    """The grant, for reading only. The care team and every administrator are told in the same transaction.

    The reason is clinical text and lives in the grant's row; the event names the row. A second grant while one
    runs takes a reason of its own. Raises Forbidden, NotFound, Gone, Conflict (on the team already), Invalid.
    """
    actor.require(Permission.BREAK_GLASS)
    patient, standing = find_patient(session, actor, patient_id)
    if standing.in_team:
        raise Conflict("You are on this patient's care team and see all of their data already.")
    stated = _meaningful(reason, preset)
    setting = session.get(Setting, "break_glass.minutes")
    minutes = DEFAULT_MINUTES if setting is None else int(setting.value)
    now = datetime.now(UTC)
    grant = BreakGlassGrant(
        id=new_id(),
        patient_id=patient.id,
        user_id=actor.user_id,
        acting_role=actor.role.value,
        reason=stated,
        granted_at=now,
        expires_at=now + timedelta(minutes=minutes),
    )
    session.add(grant)
    session.flush()
    notify_team_and_admins(session, patient.id, kind=NOTIFICATION, subject_id=grant.id, but_not=actor.user_id)
    record(
        session,
        actor,
        Event(
            action="patient.break_glass",
            entity_type="patient",
            entity_id=patient.id,
            patient_id=patient.id,
            basis="break-glass",
            basis_id=grant.id,
        ),
    )
    REVEALS.labels("emergency").inc()
    return grant


def _meaningful(reason: str | None, preset: Preset | None) -> str:
    """The reason as it is kept. Raises Invalid."""
    if reason is None or not reason.strip():
        raise Invalid.at("/reason", "say why: a reason is required")
    letters = {character for character in reason.casefold() if character.isalpha()}
    stated = reason if preset is None else f"{preset.value}: {reason}"
    if len(reason.strip()) < REASON_MIN or len(stated) > REASON_MAX or len(letters) < LETTERS_MIN:
        raise Invalid.at("/reason", f"a reason that others can review, {REASON_MIN} to {REASON_MAX} characters")
    return stated
