"""Disable a user: their sessions and tokens end at once (SECURITY 3). Users are never deleted (NGS1.03)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import Session as SessionRow
from models import User
from services.actor import Actor
from services.audit_event import Origin
from services.errors import Forbidden, NotFound
from services.field_encryption import FieldCipher
from services.last_admin import keep_one_admin, take_turns
from services.password_link_request import withdraw_links
from services.permissions import Permission
from services.record_write import require_reason
from services.session_start import normal_email
from services.token_revoke import revoke_tokens_of
from services.user_version import user_content
from services.user_write import save_user


def disable_user(
    session: Session, actor: Actor | Origin, cipher: FieldCipher, *, email: str, reason: str | None = None
) -> uuid.UUID:
    """The id of the user, now disabled. Doing it twice changes nothing. A person states a reason.

    Raises Forbidden (not an admin, or oneself), NotFound, Conflict (the last active administrator), Invalid.
    """
    if isinstance(actor, Actor):
        actor.require(Permission.USER_MANAGE)
    take_turns(session)
    user = session.scalars(select(User).where(User.email == normal_email(email)).with_for_update()).one_or_none()
    if user is None:
        raise NotFound("There is no user with this e-mail address.")
    if user.id == actor.user_id:
        raise Forbidden("Nobody disables themselves: ask another administrator.")
    if isinstance(actor, Actor):
        reason = require_reason(reason)
    if user.disabled_at is not None:
        return user.id
    keep_one_admin(session, user)
    before, now = user_content(user), datetime.now(UTC)
    user.disabled_at = now
    save_user(session, actor, cipher, user, before=before, action="user.disable", reason=reason)
    session.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user.id, SessionRow.ended_at.is_(None))
        .values(ended_at=now, ended_because="user disabled")
    )
    revoke_tokens_of(session, actor, user.id)
    withdraw_links(session, user.id)
    return user.id
