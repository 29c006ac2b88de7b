"""List who may sign in: searched by name or e-mail, filtered, in pages; and what waits for approval."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Select, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from models import RoleRequest, User, UserRole
from models.text import fold
from models.user import IMPORT_USER_ID
from services import cursor
from services.actor import Actor
from services.audit_event import Event, record
from services.permissions import Permission

State = Literal["active", "invited", "disabled"]
STATES: dict[State, ColumnElement[bool]] = {
    "active": User.disabled_at.is_(None) & User.password_changed_at.is_not(None),
    "invited": User.disabled_at.is_(None) & User.password_changed_at.is_(None),
    "disabled": User.disabled_at.is_not(None),
}
SORT_NAME = func.sigilo_fold(User.full_name)


@dataclass(frozen=True, slots=True)
class UserFilters:
    """``q``: a part of the name or address. None: any."""

    q: str | None = None
    role: str | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class ListedUser:
    id: uuid.UUID
    name: str
    email: str
    council: str | None
    state: State
    roles: tuple[str, ...]
    waiting: tuple[str, ...]  # roles that were asked for


@dataclass(frozen=True, slots=True)
class UserPage:
    users: list[ListedUser]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class WaitingRole:
    """A role that waits for a second administrator."""

    id: uuid.UUID
    role: str
    user_id: uuid.UUID
    user_name: str
    council: str | None
    reason: str
    requested_at: datetime
    requested_by: uuid.UUID
    requester_name: str


def list_users(
    session: Session, actor: Actor, filters: UserFilters, *, limit: int = 30, after: str | None = None
) -> UserPage:
    """By name. Raises Forbidden (not an admin), Invalid (a cursor of another list). Two statements and the event."""
    actor.require(Permission.USER_MANAGE)
    named = {"q": filters.q, "role": filters.role, "state": filters.state}
    wanted = _filtered(select(User, SORT_NAME).where(User.id != IMPORT_USER_ID), filters)
    if after is not None:
        name, last = cursor.decode(named, after, str, uuid.UUID)
        wanted = wanted.where(tuple_(SORT_NAME, User.id) > tuple_(literal(name), literal(last)))
    rows = session.execute(wanted.order_by(SORT_NAME, User.id).limit(limit + 1)).all()
    shown = rows[:limit]
    ids = [user.id for user, _ in shown]
    asked: dict[uuid.UUID, list[str]] = {}
    for user_id, role in session.execute(
        select(RoleRequest.user_id, RoleRequest.role).where(
            RoleRequest.user_id.in_(ids), RoleRequest.decided_at.is_(None)
        )
    ):
        asked.setdefault(user_id, []).append(role)
    record(session, actor, Event("user.list", "user", entity_ids=tuple(ids)))
    more = cursor.encode(named, shown[-1][1], str(shown[-1][0].id)) if len(rows) > limit else None
    return UserPage([_listed(user, asked.get(user.id, [])) for user, _ in shown], more)


def waiting_roles(session: Session, actor: Actor, request_id: uuid.UUID | None = None) -> list[WaitingRole]:
    """What waits for a second administrator, the oldest first; of one request, that alone."""
    actor.require(Permission.USER_MANAGE)
    requester = aliased(User)
    wanted = (
        select(
            RoleRequest.id, RoleRequest.role, User.id, User.full_name, User.council, RoleRequest.reason,
            RoleRequest.requested_at, RoleRequest.requested_by, requester.full_name,
        )
        .join(User, User.id == RoleRequest.user_id)
        .join(requester, requester.id == RoleRequest.requested_by)
        .where(RoleRequest.decided_at.is_(None))
        .order_by(RoleRequest.id)
    )  # fmt: skip
    if request_id is not None:
        wanted = wanted.where(RoleRequest.id == request_id)
    return [WaitingRole(*row) for row in session.execute(wanted)]


def state_of(user: User) -> State:
    if user.disabled_at is not None:
        return "disabled"
    return "active" if user.password_changed_at is not None else "invited"


def _listed(user: User, waiting: list[str]) -> ListedUser:
    roles = tuple(sorted(held.role for held in user.roles))
    return ListedUser(
        user.id, user.full_name, user.email, user.council, state_of(user), roles, tuple(sorted(waiting))
    )


def _filtered(wanted: Select[User, str], filters: UserFilters) -> Select[User, str]:
    if filters.q:
        words = fold(filters.q)
        wanted = wanted.where(or_(func.strpos(SORT_NAME, words) > 0, func.strpos(User.email, filters.q.lower()) > 0))
    if filters.role is not None:
        holds = select(UserRole.role).where(UserRole.user_id == User.id, UserRole.role == filters.role)
        wanted = wanted.where(holds.exists())
    if filters.state is not None:
        wanted = wanted.where(STATES[filters.state])
    return wanted
