"""Enable a disabled user again, with a reason.

No second approver is asked: the roles come back that were approved when they were granted, nothing wider, and the
other administrators are told. Sessions, tokens and links that ended stay ended; somebody who never chose a password
gets a new invitation.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models import User, new_id
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import Conflict
from services.field_encryption import FieldCipher
from services.notification_create import notify_admins
from services.password_link_request import request_link
from services.record_write import require_reason
from services.user_find import find_other_user
from services.user_version import keep_user_version, user_content


def enable_user(session: Session, actor: Actor, cipher: FieldCipher, user_id: uuid.UUID, *, reason: str | None) -> User:
    """Raises Forbidden (not an admin, or oneself), NotFound, Invalid (no reason), Conflict (not disabled)."""
    user = find_other_user(session, actor, user_id, "Nobody enables themselves: ask another administrator.")
    stated = require_reason(reason)
    if user.disabled_at is None:
        raise Conflict("This user is enabled already.")
    before = user_content(user)
    user.disabled_at = None
    user.updated_at = datetime.now(UTC)
    session.flush()
    if user.password_changed_at is None and user.roles:
        request_link(session, actor, user.id, "invitation")
    after = keep_user_version(session, actor, user, stated)
    event_id = new_id()
    event = Event(
        "user.enable", "user", user.id, from_version=user.version - 1, to_version=user.version,
        changes=changes_between(cipher.digest_key, event_id, before, after),
    )  # fmt: skip
    record(session, actor, event, event_id=event_id)
    notify_admins(session, kind="user.enabled", subject_id=user.id, but_not=actor.user_id)
    session.flush()
    return user
