"""Find somebody who works here, by name or council number: to treat a patient or be waited for, or in the trail.

Who works here is no patient data: nothing is masked. A colleague is looked up without an event; to look for a person's
acts is one.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from models import User, UserRole
from models.text import fold
from models.user import IMPORT_USER_ID, Role
from services.actor import Actor
from services.audit_event import Event, record
from services.permissions import Permission

QUERY_MAX = 200
SHOWN_MAX = 20
CLINICAL = (Role.DOCTOR, Role.NURSE)
STAFF = tuple(role for role in Role if role is not Role.PATIENT)


People = Select[uuid.UUID, str, str | None, Sequence[str]]  # id, name, council, roles


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

    ``but_not`` leaves people out, such as the ones who are on the team already. Raises Forbidden.
    """
    actor.require(Permission.VISIT_WRITE)
    active = User.disabled_at.is_(None), User.id.not_in([IMPORT_USER_ID, *but_not])
    return _people(session, _holding(roles, _words(q)).where(*active).limit(limit))


def find_who_acted(session: Session, actor: Actor, q: str) -> list[Colleague]:
    """At most 20 people of the staff, disabled ones too, whose acts are looked for; nobody for an empty ``q``. The
    search is an event. Raises Forbidden."""
    actor.require(Permission.TRAIL_READ)
    words = _words(q)
    if not words:
        return []
    people = _people(session, _holding(STAFF, words).limit(SHOWN_MAX))
    record(session, actor, Event("user.search", "user", entity_ids=tuple(person.id for person in people)))
    return people


def _words(q: str) -> list[str]:
    return fold(q[:QUERY_MAX].replace("\0", " ")).split()


def _holding(roles: Sequence[Role], words: Sequence[str]) -> People:
    """People with the roles of ``roles`` that they hold, by name. Each of ``words`` has to be in the name, whatever
    its accents and case, or in the council number."""
    query = (
        select(User.id, User.full_name, User.council, func.array_agg(UserRole.role).label("roles"))
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.role.in_([role.value for role in roles]))
        .group_by(User.id)
        .order_by(func.sigilo_fold(User.full_name), User.id)
    )
    for word in words:
        query = query.where(
            or_(
                func.sigilo_fold(User.full_name).contains(word, autoescape=True),
                func.sigilo_fold(User.council).contains(word, autoescape=True),
            )
        )
    return query


def _people(session: Session, query: People) -> list[Colleague]:
    return [
        Colleague(row.id, row.full_name, row.council, tuple(sorted(Role(role) for role in row.roles)))
        for row in session.execute(query)
    ]
