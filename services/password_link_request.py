"""Ask for a link with which somebody chooses a password: when invited, and when an administrator resets it.

What is written is that a mail is to be sent; the secret in it does not exist yet (services/password_link_send.py).
"""

from __future__ import annotations

import uuid

from sqlalchemy import func, insert, update
from sqlalchemy.orm import Session

from models import PasswordLink, User, new_id
from models import Session as SessionRow
from services.actor import Actor
from services.audit_event import Origin
from services.errors import Conflict
from services.field_encryption import FieldCipher
from services.record_write import require_reason
from services.token_revoke import revoke_tokens_of
from services.user_find import find_other_user
from services.user_version import user_content
from services.user_write import save_user


def request_link(session: Session, actor: Actor | Origin, user_id: uuid.UUID, kind: str) -> uuid.UUID:
    """Have the worker send ``user_id`` a link; earlier links open nothing any more. Gives the new link's id."""
    withdraw_links(session, user_id)
    link_id = new_id()
    # Named columns only: staff may not even say NULL for a secret.
    session.execute(insert(PasswordLink).values(id=link_id, user_id=user_id, kind=kind, requested_by=actor.user_id))
    return link_id


def withdraw_links(session: Session, user_id: uuid.UUID) -> None:
    """No link that was made for ``user_id`` so far opens anything from now on."""
    session.execute(
        update(PasswordLink)
        .where(PasswordLink.user_id == user_id, PasswordLink.used_at.is_(None), PasswordLink.withdrawn_at.is_(None))
        .values(withdrawn_at=func.now())
    )


def reset_password(
    session: Session, actor: Actor, cipher: FieldCipher, user_id: uuid.UUID, *, reason: str | None
) -> User:
    """End the user's sessions, revoke their tokens and send them a link; the present password opens nothing but its
    own change (SBIS NGS1.02.06). Somebody who never chose one gets their invitation again, and nothing ends.

    Raises Forbidden (not an admin, or oneself), NotFound, Conflict (disabled, or without a role), Invalid.
    """
    user = find_other_user(session, actor, user_id, "Nobody resets their own password: change it under My account.")
    stated = require_reason(reason)
    if user.disabled_at is not None:
        raise Conflict("This user is disabled. Enable them first.")
    if not user.roles:
        raise Conflict("This user has no role yet: the link goes out once a role is granted.")
    before, invited = user_content(user), user.password_changed_at is None
    user.must_change_password = not invited
    save_user(session, actor, cipher, user, before=before, action="user.reset_password", reason=stated)
    session.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user.id, SessionRow.ended_at.is_(None))
        .values(ended_at=func.now(), ended_because="password reset")
    )
    if not invited:
        revoke_tokens_of(session, actor, user.id)
    request_link(session, actor, user.id, "invitation" if invited else "reset")
    return user
