"""Change one's own password: the present one is asked for, other sessions end (SECURITY 5, 9; NGS1.02.06)."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session, undefer

from models import Session as SessionRow
from models import User, new_id
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import Invalid
from services.field_encryption import FieldCipher
from services.password import check_password, hash_password, verify_password
from services.user_version import keep_user_version, user_content


def change_password(session: Session, actor: Actor, cipher: FieldCipher, *, current: str, new: str) -> None:
    """Raises Invalid: a wrong present password, a weak new one, or the same again."""
    user = session.scalars(
        select(User).where(User.id == actor.user_id).options(undefer(User.password_hash)).with_for_update(of=User)
    ).one()
    if not verify_password(user.password_hash, current):
        raise Invalid.at("/currentPassword", "this is not your present password")
    check_password(new, pointer="/newPassword")
    if verify_password(user.password_hash, new):
        raise Invalid.at("/newPassword", "a password other than the present one")
    before, now = user_content(user), datetime.now(UTC)
    user.password_hash = hash_password(new)
    user.password_changed_at = user.updated_at = now
    user.must_change_password = False
    session.flush()
    session.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user.id, SessionRow.id != actor.session_id, SessionRow.ended_at.is_(None))
        .values(ended_at=now, ended_because="password changed")
    )
    after = keep_user_version(session, actor, user)
    event_id = new_id()
    event = Event(
        "user.change_password", "user", user.id, from_version=user.version - 1, to_version=user.version,
        changes=changes_between(cipher.digest_key, event_id, before, after),
    )  # fmt: skip
    record(session, actor, event, event_id=event_id)
    session.flush()
