"""Disable a user: their sessions and tokens end at once (SECURITY 3). Users are never deleted (NGS1.03)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from models import ApiToken, Role, User, UserRole, new_id
from models import Session as SessionRow
from services.actor import Actor
from services.audit_event import Event, Origin, changes_between, record
from services.errors import Conflict, Forbidden, NotFound
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.session_start import normal_email
from services.user_version import keep_user_version, user_content

LAST_ADMIN = "This is the last active administrator. Make another one first."
# Two administrators who disable each other at the same moment must not both succeed.
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7164020)")


def disable_user(
    session: Session, actor: Actor | Origin, cipher: FieldCipher, *, email: str, reason: str | None = None
) -> uuid.UUID:
    """The id of the user, now disabled. Doing it twice changes nothing.

    Raises Forbidden (not an admin, or oneself), NotFound, Conflict (the last active administrator).
    """
    if isinstance(actor, Actor):
        actor.require(Permission.USER_MANAGE)
    session.execute(ONE_AT_A_TIME)
    user = session.scalars(select(User).where(User.email == normal_email(email)).with_for_update()).one_or_none()
    if user is None:
        raise NotFound("There is no user with this e-mail address.")
    if user.id == actor.user_id:
        raise Forbidden("Nobody disables themselves: ask another administrator.")
    if user.disabled_at is not None:
        return user.id
    if any(held.role == Role.ADMIN for held in user.roles) and not _other_admin(session, user.id):
        raise Conflict(LAST_ADMIN)
    before, now = user_content(user), datetime.now(UTC)
    user.disabled_at = now
    user.updated_at = now
    session.flush()
    session.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user.id, SessionRow.ended_at.is_(None))
        .values(ended_at=now, ended_because="user disabled")
    )
    session.execute(
        update(ApiToken).where(ApiToken.user_id == user.id, ApiToken.revoked_at.is_(None)).values(revoked_at=now)
    )
    after = keep_user_version(session, actor, user, reason)
    event_id = new_id()
    event = Event(
        "user.disable", "user", user.id, from_version=user.version - 1, to_version=user.version,
        changes=changes_between(cipher.digest_key, event_id, before, after),
    )  # fmt: skip
    record(session, actor, event, event_id=event_id)
    session.flush()
    return user.id


def _other_admin(session: Session, user_id: uuid.UUID) -> bool:
    others = (
        select(UserRole.user_id)
        .join(User, User.id == UserRole.user_id)
        .where(UserRole.role == Role.ADMIN.value, User.disabled_at.is_(None), User.id != user_id)
        .limit(1)
    )
    return session.scalar(others) is not None
