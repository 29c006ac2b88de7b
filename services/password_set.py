"""Set a password that its owner chose: checked, other than the last two, and the end of every other session.

As the anonymous principal, which alone may touch password hashes.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session, undefer

from models import Session as SessionRow
from models import User, new_id
from services.actor import Actor
from services.audit_event import Event, Origin, changes_between, record
from services.errors import Invalid
from services.field_encryption import FieldCipher
from services.password import check_password, hash_password, verify_password
from services.user_version import keep_user_version, user_content

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
    user.password_changed_at = user.updated_at = now
    user.must_change_password = False
    session.flush()
    ended = update(SessionRow).where(SessionRow.user_id == user.id, SessionRow.ended_at.is_(None))
    if actor.session_id is not None:
        ended = ended.where(SessionRow.id != actor.session_id)
    session.execute(ended.values(ended_at=now, ended_because="password changed"))
    after = keep_user_version(session, actor, user)
    event_id = new_id()
    event = Event(
        action, "user", user.id, from_version=user.version - 1, to_version=user.version,
        changes=changes_between(cipher.digest_key, event_id, before, after),
    )  # fmt: skip
    record(session, actor, event, event_id=event_id)
    session.flush()
