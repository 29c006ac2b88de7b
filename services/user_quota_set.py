"""Give a user a quota of their own for API calls, or take it away."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from config import RATE_SHAPE, parse_rate
from models import User, new_id
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.quota_holders import NO_USER
from services.user_version import keep_user_version, user_content

NOT_ONES_OWN = "Nobody changes their own quota: ask another administrator."


def set_user_quota(
    session: Session, actor: Actor, cipher: FieldCipher, user_id: uuid.UUID, quota: str | None
) -> User:
    """The user with ``quota`` (``"60/minute"``), or with RATE_LIMIT_DEFAULT when it is None; kept as a version.
    The quota they have already changes nothing.

    Raises Forbidden (not an admin, or for oneself), NotFound, Invalid.
    """
    actor.require(Permission.USER_MANAGE)
    check_quota(quota)
    user = session.get(User, user_id, with_for_update=True)
    if user is None:
        raise NotFound(NO_USER)
    if user.id == actor.user_id:
        raise Forbidden(NOT_ONES_OWN)
    if user.quota == quota:
        return user
    before = user_content(user)
    user.quota = quota
    user.updated_at = datetime.now(UTC)
    session.flush()
    after = keep_user_version(session, actor, user)
    event_id = new_id()
    event = Event(
        "user.update", "user", user.id, from_version=user.version - 1, to_version=user.version,
        changes=changes_between(cipher.digest_key, event_id, before, after),
    )  # fmt: skip
    record(session, actor, event, event_id=event_id)
    session.flush()
    return user


def check_quota(quota: str | None) -> None:
    """Raises Invalid unless ``quota`` is written as one, or None."""
    if quota is not None:
        try:
            parse_rate(quota)
        except ValueError:
            raise Invalid.at("/quota", RATE_SHAPE) from None
