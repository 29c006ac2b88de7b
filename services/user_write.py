"""What every change of a user has in common: the time, the next version kept, and its event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import User, new_id
from services.actor import Actor
from services.audit_event import Event, Origin, changes_between, record
from services.field_encryption import FieldCipher
from services.user_version import keep_user_version


def save_user(
    session: Session, actor: Actor | Origin, cipher: FieldCipher, user: User, *, before: Mapping[str, Any],
    action: str = "user.update", reason: str | None = None,
) -> None:  # fmt: skip
    """Flush the change of ``user``, whose ``user_content`` was ``before``, keep it as a version and write the event."""
    user.updated_at = datetime.now(UTC)
    session.flush()
    after = keep_user_version(session, actor, user, reason)
    event_id = new_id()
    event = Event(
        action, "user", user.id, from_version=user.version - 1, to_version=user.version,
        changes=changes_between(cipher.digest_key, event_id, before, after),
    )  # fmt: skip
    record(session, actor, event, event_id=event_id)
    session.flush()
