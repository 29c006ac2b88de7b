"""Take a role from somebody, with a reason: what they opened with it ends at once, and does not come back with it."""

from __future__ import annotations

import uuid

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from models import Role, User
from models import Session as SessionRow
from services.actor import Actor
from services.errors import Conflict
from services.field_encryption import FieldCipher
from services.last_admin import keep_one_admin, take_turns
from services.record_write import require_reason
from services.role_request import NEVER_ONESELF, staff_role
from services.role_write import held_roles, note_roles
from services.token_revoke import revoke_tokens_of
from services.user_find import find_other_user


def remove_role(
    session: Session, actor: Actor, cipher: FieldCipher, user_id: uuid.UUID, *, role: str, reason: str | None
) -> User:
    """Raises Forbidden (not an admin, or oneself), NotFound, Conflict (not held, the last active administrator),
    Invalid."""
    take_turns(session)
    user = find_other_user(session, actor, user_id, NEVER_ONESELF)
    stated = require_reason(reason)
    leaving = staff_role(role)
    before = held_roles(user)
    if leaving.value not in before:
        raise Conflict("This user does not hold that role.")
    if leaving is Role.ADMIN:
        keep_one_admin(session, user)
    user.roles = [held for held in user.roles if held.role != leaving.value]
    session.flush()
    session.execute(
        update(SessionRow)
        .where(
            SessionRow.user_id == user.id, SessionRow.acting_role == leaving.value, SessionRow.ended_at.is_(None)
        )
        .values(ended_at=func.now(), ended_because="role removed")
    )
    revoke_tokens_of(session, actor, user.id, role=leaving)
    note_roles(session, actor, cipher, user, "role.remove", before, stated)
    return user
