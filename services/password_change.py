"""Change one's own password: the present one is asked for, other sessions end (SECURITY 5, 9; NGS1.02.06)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from services.actor import Actor
from services.errors import Invalid
from services.field_encryption import FieldCipher
from services.password import verify_password
from services.password_set import lock_user, set_password


def change_password(session: Session, actor: Actor, cipher: FieldCipher, *, current: str, new: str) -> None:
    """Raises Invalid: a wrong present password, a weak new one, or one of the last two."""
    user = lock_user(session, actor.user_id)
    if not verify_password(user.password_hash, current):
        raise Invalid.at("/currentPassword", "this is not your present password")
    set_password(session, actor, cipher, user, new, action="user.change_password")
