"""Set a password that its owner chose: checked, other than the last two, and the end of every other session.

As the anonymous principal, which alone may touch password hashes.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session, undefer

from models import Session as SessionRow
from models import User
from services.actor import Actor
from services.audit_event import Origin
from services.errors import Invalid
from services.field_encryption import FieldCipher
from services.password import check_password, hash_password, verify_password
from services.user_version import user_content
from services.user_write import save_user

POINTER = "/newPassword"


def lock_user(session: Session, user_id: uuid.UUID) -> User:
    """The user with their password hashes, for a change."""
    wanted = select(User).where(User.id == user_id).options(
        undefer(User.password_hash), undefer(User.previous_password_hash)
    )  # fmt: skip
    return session.scalars(wanted.with_for_update(of=User)).one()


def set_password(
    session: Session, actor: Actor | Origin, cipher: FieldCipher, user: User, new: str, *, action: str
) -> None:
    """Raises Invalid at /newPassword: short, common, or one of the last two (SECURITY 9). Sessions other than the
    actor's own end (SECURITY 5)."""
    check_password(new, pointer=POINTER)
    for stored in (user.password_hash, user.previous_password_hash):
        if stored is not None and verify_password(stored, new):
            raise Invalid.at(POINTER, "a password other than the present one and the one before it")
    before, now = user_content(user), datetime.now(UTC)
    user.previous_password_hash = user.password_hash
    user.password_hash = hash_password(new)
    user.password_changed_at = now
    user.must_change_password = False
    save_user(session, actor, cipher, user, before=before, action=action)
    ended = update(SessionRow).where(SessionRow.user_id == user.id, SessionRow.ended_at.is_(None))
    if actor.session_id is not None:
        ended = ended.where(SessionRow.id != actor.session_id)
    session.execute(ended.values(ended_at=now, ended_because="password changed"))
