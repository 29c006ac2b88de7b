"""At least one active administrator remains (SBIS NGS1.03), whoever acts at the same moment."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from models import Role, User, UserRole
from models.advisory_locks import ADMINISTRATORS
from services.errors import Conflict

LAST_ADMIN = "This is the last active administrator. Make another one first."
# Two administrators who take it from each other at the same moment must not both succeed.
ONE_AT_A_TIME = text(f"SELECT pg_advisory_xact_lock({ADMINISTRATORS})")


def take_turns(session: Session) -> None:
    """Until the transaction ends, nobody else takes ADMIN from anybody. Call it before reading who holds it."""
    session.execute(ONE_AT_A_TIME)


def keep_one_admin(session: Session, leaving: User) -> None:
    """Raises Conflict when ``leaving`` is an active administrator and there is no other."""
    is_admin = leaving.disabled_at is None and any(held.role == Role.ADMIN for held in leaving.roles)
    if is_admin and count_other_admins(session, leaving.id) == 0:
        raise Conflict(LAST_ADMIN)


def count_other_admins(session: Session, user_id: uuid.UUID) -> int:
    """How many active administrators there are beside ``user_id``."""
    others = (
        select(func.count())
        .select_from(UserRole)
        .join(User, User.id == UserRole.user_id)
        .where(UserRole.role == Role.ADMIN.value, User.disabled_at.is_(None), User.id != user_id)
    )
    return session.scalar(others) or 0
