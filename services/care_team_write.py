"""Joining and leaving a care team: the one place where memberships change, each with its event.

Callers hold the patient's row locked, so two changes of one team never meet.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import CareTeamMember, Patient, User, UserRole, new_id
from models.user import Role
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import Forbidden, Invalid
from services.field_encryption import FieldCipher
from services.record_fields import time_text
from services.record_write import audit_key

NOT_ONESELF = "Nobody changes their own place in a care team. Ask another doctor of the team, or reception."
STRENGTH = {"VISIT": 0, "ADDED": 1, "RESPONSIBLE": 2}


def require_active(session: Session, user_id: uuid.UUID, *roles: Role, pointer: str) -> None:
    """Raise Invalid at ``pointer`` unless ``user_id`` is an active user who holds one of ``roles``."""
    holds = select(UserRole.role).where(UserRole.user_id == User.id, UserRole.role.in_([r.value for r in roles]))
    query = select(User.id).where(User.id == user_id, User.disabled_at.is_(None), holds.exists())
    if session.scalar(query) is None:
        raise Invalid.at(pointer, f"the id of an active {' or '.join(role.value.lower() for role in roles)}")


def current_member(session: Session, patient_id: uuid.UUID, user_id: uuid.UUID) -> CareTeamMember | None:
    """The membership that has not ended; one that ran out is ended on the way."""
    member = session.scalar(
        select(CareTeamMember).where(
            CareTeamMember.patient_id == patient_id,
            CareTeamMember.user_id == user_id,
            CareTeamMember.removed_at.is_(None),
        )
    )
    if member is not None and member.expires_at is not None and member.expires_at <= datetime.now(UTC):
        member.removed_at = member.expires_at
        session.flush()
        return None
    return member


def join(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    patient: Patient,
    user_id: uuid.UUID,
    origin: str,
    *,
    visit_id: uuid.UUID | None = None,
) -> tuple[CareTeamMember, bool]:
    """Make ``user_id`` a member by ``origin`` (RESPONSIBLE, ADDED, VISIT); gives (membership, is new).

    A weaker origin never replaces a stronger one, and a membership that a visit was about to end lasts when
    somebody names its holder. Nothing is written when nothing changes.
    """
    member = current_member(session, patient.id, user_id)
    is_new = member is None
    if member is None:
        member = CareTeamMember(
            id=new_id(),
            patient_id=patient.id,
            user_id=user_id,
            origin=origin,
            visit_id=visit_id,
            added_by=actor.user_id,
            added_at=datetime.now(UTC),
        )
        session.add(member)
        before = None
    else:
        if STRENGTH[origin] < STRENGTH[member.origin] or (origin == member.origin and origin != "VISIT"):
            return member, False
        before = _content(member)
        member.origin, member.expires_at = origin, None
        member.visit_id = visit_id or member.visit_id
    session.flush()
    _write_event(session, actor, cipher, patient, member, "care_team.add", before, _content(member))
    return member, is_new


def leave(session: Session, actor: Actor, cipher: FieldCipher, patient: Patient, member: CareTeamMember) -> None:
    """End a membership now."""
    before = _content(member)
    member.removed_at = datetime.now(UTC)
    member.removed_by = actor.user_id
    session.flush()
    _write_event(session, actor, cipher, patient, member, "care_team.remove", before, None)


def check_responsible(session: Session, actor: Actor, user_id: uuid.UUID) -> None:
    """Raise Forbidden for naming oneself responsible, Invalid for somebody who is no active doctor."""
    if user_id == actor.user_id:
        raise Forbidden(NOT_ONESELF, ["/responsibleId"])
    require_active(session, user_id, Role.DOCTOR, pointer="/responsibleId")


def hand_over(
    session: Session, actor: Actor, cipher: FieldCipher, patient: Patient, previous_id: uuid.UUID | None
) -> None:
    """Give the team the responsible doctor that ``patient`` (saved already) names: they join it, and the one
    before, ``previous_id``, stays on it as a member."""
    if previous_id is not None:
        previous = current_member(session, patient.id, previous_id)
        if previous is not None and previous.origin == "RESPONSIBLE":
            previous.origin = "ADDED"
    if patient.responsible_id is not None:
        join(session, actor, cipher, patient, patient.responsible_id, "RESPONSIBLE")


def _content(member: CareTeamMember) -> dict[str, Any]:
    return {"userId": str(member.user_id), "origin": member.origin, "expiresAt": time_text(member.expires_at)}


def _write_event(
    session: Session,
    actor: Actor,
    cipher: FieldCipher,
    patient: Patient,
    member: CareTeamMember,
    action: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    event_id = new_id()
    record(
        session,
        actor,
        Event(
            action=action,
            entity_type="care_team_member",
            entity_id=member.id,
            patient_id=patient.id,
            changes=changes_between(audit_key(cipher, patient), event_id, before, after),
        ),
        event_id=event_id,
    )
