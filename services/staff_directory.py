"""Find a colleague to treat a patient or to wait for: active doctors and nurses by name or council number.

Who works here is no patient data: nothing is masked and no event is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models import User, UserRole
from models.text import fold
from models.user import IMPORT_USER_ID, Role
from services.actor import Actor
from services.permissions import Permission

QUERY_MAX = 200
SHOWN_MAX = 20
CLINICAL = (Role.DOCTOR, Role.NURSE)


@dataclass(frozen=True, slots=True)
class Colleague:
    id: uuid.UUID
    name: str
    council: str | None
    roles: tuple[Role, ...]  # those of the roles asked for that they hold


def find_staff(
    session: Session,
    actor: Actor,
    q: str = "",
    *,
    roles: Sequence[Role] = CLINICAL,
    but_not: Collection[uuid.UUID] = (),
    limit: int = SHOWN_MAX,
) -> list[Colleague]:
    """At most ``limit`` active people who hold one of ``roles``, by name; all of them for an empty ``q``.

    Every word of ``q`` has to be in the name, whatever its accents and case, or in the council number.
    ``but_not`` leaves people out, such as the ones who are on the team already. Raises Forbidden.
    """
    actor.require(Permission.VISIT_WRITE)
    held = func.array_agg(UserRole.role)
    query = (
        select(User.id, User.full_name, User.council, held.label("roles"))
        .join(UserRole, UserRole.user_id == User.id)
        .where(
            UserRole.role.in_([role.value for role in roles]),
            User.disabled_at.is_(None),
            User.id.not_in([IMPORT_USER_ID, *but_not]),
        )
        .group_by(User.id)
        .order_by(func.sigilo_fold(User.full_name), User.id)
        .limit(limit)
    )
    for word in fold(q[:QUERY_MAX].replace("\0", " ")).split():
        query = query.where(
            or_(
                func.sigilo_fold(User.full_name).contains(word, autoescape=True),
                func.sigilo_fold(User.council).contains(word, autoescape=True),
            )
        )
    return [
        Colleague(row.id, row.full_name, row.council, tuple(sorted(Role(role) for role in row.roles)))
        for row in session.execute(query)
    ]
