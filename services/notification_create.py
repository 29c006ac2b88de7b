"""Tell people that something happened that they answer for: to a patient, or among those who may sign in."""

from __future__ import annotations

import uuid

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models import CareTeamMember, Notification, User, UserRole, new_id
from models.user import Role


def notify_team_and_admins(
    session: Session, patient_id: uuid.UUID, *, kind: str, subject_id: uuid.UUID, but_not: uuid.UUID
) -> int:
    """One notification for each active user who is on the patient's team now or holds ADMIN; gives how many.
    It names rows and carries no text, so a mask applies whenever it is shown."""
    member = select(CareTeamMember.id).where(
        CareTeamMember.patient_id == patient_id,
        CareTeamMember.user_id == User.id,
        CareTeamMember.removed_at.is_(None),
        or_(CareTeamMember.expires_at.is_(None), CareTeamMember.expires_at > func.now()),
    )
    admin = select(UserRole.role).where(UserRole.user_id == User.id, UserRole.role == Role.ADMIN.value)
    told = session.scalars(
        select(User.id).where(User.disabled_at.is_(None), User.id != but_not, or_(member.exists(), admin.exists()))
    ).all()
    session.add_all(
        Notification(id=new_id(), user_id=user_id, kind=kind, patient_id=patient_id, subject_id=subject_id)
        for user_id in told
    )
    session.flush()
    return len(told)


def notify_admins(session: Session, *, kind: str, subject_id: uuid.UUID, but_not: uuid.UUID) -> int:
    """One notification for each other active administrator; gives how many."""
    told = session.scalars(
        select(User.id)
        .join(UserRole, UserRole.user_id == User.id)
        .where(User.disabled_at.is_(None), User.id != but_not, UserRole.role == Role.ADMIN.value)
    ).all()
    session.add_all(
        Notification(id=new_id(), user_id=user_id, kind=kind, subject_id=subject_id) for user_id in told
    )
    session.flush()
    return len(told)


def notify_user(session: Session, user_id: uuid.UUID, *, kind: str, subject_id: uuid.UUID) -> None:
    """One notification for one user."""
    session.add(Notification(id=new_id(), user_id=user_id, kind=kind, subject_id=subject_id))
    session.flush()
