"""Grant a role: the one way in, for what takes effect at once and for what a second administrator approved."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models import Role, User, UserRole, new_id
from services.actor import Actor
from services.audit_event import Event, Origin, changes_between, record
from services.field_encryption import FieldCipher
from services.password_link_request import request_link
from services.user_version import keep_roles_version


def held_roles(user: User) -> list[str]:
    return sorted(held.role for held in user.roles)


def grant(
    session: Session, actor: Actor | Origin, cipher: FieldCipher, user: User, roles: list[Role], reason: str | None
) -> None:
    """Let ``user`` act as ``roles`` from now on. With their first role, somebody without a password is invited."""
    before = held_roles(user)
    for role in roles:
        # The time is stated, for a default would be read back.
        user.roles.append(UserRole(role=role.value, granted_by=actor.user_id, granted_at=datetime.now(UTC)))
    session.flush()
    note_roles(session, actor, cipher, user, "role.grant", before, reason)
    if not before and user.password_changed_at is None and user.disabled_at is None:
        request_link(session, actor, user.id, "invitation")


def note_roles(
    session: Session, actor: Actor | Origin, cipher: FieldCipher, user: User, action: str, before: list[str],
    reason: str | None,
) -> None:  # fmt: skip
    """Keep the set of roles that ``user`` holds now as a version, and the event of its change."""
    event_id = new_id()
    after = held_roles(user)
    version = keep_roles_version(session, actor, user, after, reason)
    changes = changes_between(cipher.digest_key, event_id, {"roles": before}, {"roles": after})
    event = Event(action, "user", user.id, from_version=version - 1, to_version=version, changes=changes)
    record(session, actor, event, event_id=event_id)
    session.flush()
