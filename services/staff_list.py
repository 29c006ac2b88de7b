"""Who works here in a role, for forms that name a colleague. Names and council numbers, never the account."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import User, UserRole
from models.user import Role
from services.actor import Actor
from services.author import Author
from services.permissions import Permission


def list_staff(session: Session, actor: Actor, role: Role) -> list[Author]:
    """Active users who hold ``role``, by name. Raises Forbidden."""
    actor.require(Permission.VISIT_WRITE)
    rows = session.execute(
        select(User.id, User.full_name, User.council)
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.role == role.value, User.disabled_at.is_(None))
        .order_by(User.full_name, User.id)
    )
    return [Author(row.id, row.full_name, row.council) for row in rows]
