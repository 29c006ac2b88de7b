"""Choose a password with a single-use link. A wrong, used, expired and withdrawn link are one and the same: none.

As the anonymous principal, to which row-level security shows only links that were sent.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from models import PasswordLink, User
from services.audit_event import Origin
from services.authenticate import SECRET_MAX, secret_hash
from services.errors import NotFound
from services.field_encryption import FieldCipher
from services.password_set import lock_user, set_password

NO_LINK = "This link opens nothing, or nothing any more."


@dataclass(frozen=True, slots=True)
class LiveLink:
    """Whose link it is, and what for."""

    link_id: uuid.UUID
    user_id: uuid.UUID
    kind: str
    email: str
    name: str


def find_link(session: Session, secret: str, *, lock: bool = False) -> LiveLink:
    """Raises NotFound. Looking changes nothing: a mail scanner that opens links uses none up.

    A link ends with any later change of the password, however that came about.
    """
    if len(secret) > SECRET_MAX or not secret.isascii():
        raise NotFound(NO_LINK)
    wanted = (
        select(PasswordLink.id, User.id, PasswordLink.kind, User.email, User.full_name)
        .join(User, User.id == PasswordLink.user_id)
        .where(
            PasswordLink.secret_hash == secret_hash(secret),
            PasswordLink.used_at.is_(None),
            PasswordLink.withdrawn_at.is_(None),
            PasswordLink.expires_at > func.now(),
            User.disabled_at.is_(None),
            or_(User.password_changed_at.is_(None), User.password_changed_at < PasswordLink.requested_at),
        )
    )
    row = session.execute(wanted.with_for_update(of=PasswordLink) if lock else wanted).one_or_none()
    if row is None:
        raise NotFound(NO_LINK)
    return LiveLink(*row)


def use_link(session: Session, origin: Origin, cipher: FieldCipher, secret: str, new: str) -> LiveLink:
    """Set the password and end the link, and every session of the user; nobody is signed in by it.

    Raises NotFound, Invalid at /newPassword (the link stays good).
    """
    link = find_link(session, secret, lock=True)
    user = lock_user(session, link.user_id)
    owner = replace(origin, user_id=user.id)
    set_password(session, owner, cipher, user, new, action="user.choose_password")
    session.execute(update(PasswordLink).where(PasswordLink.id == link.link_id).values(used_at=datetime.now(UTC)))
    return link
