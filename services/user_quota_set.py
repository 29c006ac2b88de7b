"""Give a user a quota of their own for API calls, or take it away."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from models import User
from services.actor import Actor
from services.field_encryption import FieldCipher
from services.quota_check import check_quota
from services.user_find import find_other_user
from services.user_version import user_content
from services.user_write import save_user

NOT_ONES_OWN = "Nobody changes their own quota: ask another administrator."


def set_user_quota(
    session: Session, actor: Actor, cipher: FieldCipher, user_id: uuid.UUID, quota: str | None
) -> User:
    """The user with ``quota`` (``"60/minute"``), or with RATE_LIMIT_DEFAULT when it is None; kept as a version.
    The quota they have already changes nothing.

    Raises Forbidden (not an admin, or for oneself), NotFound, Invalid.
    """
    user = find_other_user(session, actor, user_id, NOT_ONES_OWN)
    check_quota(quota)
    if user.quota == quota:
        return user
    before = user_content(user)
    user.quota = quota
    save_user(session, actor, cipher, user, before=before)
    return user
