"""Enable a disabled user again, with a reason.

No second approver is asked: the roles come back that were approved when they were granted, nothing wider, and the
other administrators are told. Sessions, tokens and links that ended stay ended; somebody who never chose a password
gets a new invitation.
"""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from models import User
from services.actor import Actor
from services.errors import Conflict
from services.field_encryption import FieldCipher
from services.notification_create import notify_admins
from services.password_link_request import request_link
from services.record_write import require_reason
from services.user_find import find_other_user
from services.user_version import user_content
from services.user_write import save_user


def enable_user(session: Session, actor: Actor, cipher: FieldCipher, user_id: uuid.UUID, *, reason: str | None) -> User:
    """Raises Forbidden (not an admin, or oneself), NotFound, Invalid (no reason), Conflict (not disabled)."""
    user = find_other_user(session, actor, user_id, "Nobody enables themselves: ask another administrator.")
    stated = require_reason(reason)
    if user.disabled_at is None:
        raise Conflict("This user is enabled already.")
    before = user_content(user)
    user.disabled_at = None
    save_user(session, actor, cipher, user, before=before, action="user.enable", reason=stated)
    if user.password_changed_at is None and user.roles:
        request_link(session, actor, user.id, "invitation")
    notify_admins(session, kind="user.enabled", subject_id=user.id, but_not=actor.user_id)
    return user
