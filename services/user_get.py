"""Show one user to an administrator: roles and who granted them, links, tokens, sessions, and what changed when."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, load_only

from models import ApiToken, PasswordLink, RoleRequest, RoleVersion, User, UserVersion
from models import Session as SessionRow
from services.actor import Actor
from services.audit_event import Event, record
from services.user_find import find_user
from services.user_list import State, WaitingRole, state_of, waiting_roles

HISTORY_MAX = 100


@dataclass(frozen=True, slots=True)
class HeldRole:
    role: str
    granted_by: str | None  # a name; None: the operator, at the command line
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history: which fields, or which roles since then, by whom and why."""

    at: datetime
    by: str | None
    reason: str | None
    fields: tuple[str, ...]
    roles: tuple[str, ...] | None  # None: no change of roles
    is_first: bool


@dataclass(frozen=True, slots=True)
class ShownToken:
    id: uuid.UUID
    name: str
    role: str
    scopes: tuple[str, ...]
    quota: str | None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    state: str  # live, revoked, expired


@dataclass(frozen=True, slots=True)
class ShownLink:
    kind: str
    requested_at: datetime
    expires_at: datetime | None
    state: str  # waiting, delayed, sent, failed, expired


@dataclass(frozen=True, slots=True)
class ShownUser:
    id: uuid.UUID
    name: str
    email: str
    council: str | None
    quota: str | None
    has_cpf: bool
    is_patient: bool
    state: State
    must_change_password: bool
    password_changed_at: datetime | None
    roles: list[HeldRole]
    waiting: list[WaitingRole]
    link: ShownLink | None
    tokens: list[ShownToken]
    sessions: int
    history: list[Change]


def get_user(session: Session, actor: Actor, user_id: uuid.UUID) -> ShownUser:
    """Raises Forbidden (not an admin), NotFound. A fixed number of statements, whatever the user did."""
    user = find_user(session, actor, user_id)
    of_fields = select(UserVersion).where(UserVersion.user_id == user.id).order_by(UserVersion.version.desc())
    of_roles = select(RoleVersion).where(RoleVersion.user_id == user.id).order_by(RoleVersion.version.desc())
    field_versions = session.scalars(of_fields.limit(HISTORY_MAX)).all()
    role_versions = session.scalars(of_roles.limit(HISTORY_MAX)).all()
    people = {held.granted_by for held in user.roles} | {version.changed_by for version in field_versions}
    people |= {version.changed_by for version in role_versions}
    known = session.execute(select(User.id, User.full_name).where(User.id.in_(people - {None})))
    names = {user_id: name for user_id, name in known}  # noqa: C416  (rows are no pairs to a type checker)
    waiting = [each for each in waiting_roles(session, actor) if each.user_id == user.id]
    live = select(func.count()).where(
        SessionRow.user_id == user.id, SessionRow.ended_at.is_(None), SessionRow.expires_at > func.now()
    )
    shown = ShownUser(
        id=user.id, name=user.full_name, email=user.email, council=user.council, quota=user.quota,
        has_cpf=user.cpf_index is not None, is_patient=user.patient_id is not None, state=state_of(user),
        must_change_password=user.must_change_password, password_changed_at=user.password_changed_at,
        roles=[
            HeldRole(held.role, _name(names, held.granted_by), held.granted_at)
            for held in sorted(user.roles, key=lambda held: held.role)
        ],
        waiting=waiting, link=_newest_link(session, user.id), tokens=_tokens(session, user.id),
        sessions=session.scalar(live) or 0,
        history=sorted(
            [*_field_changes(field_versions, names), *_role_changes(role_versions, names)],
            key=lambda change: change.at, reverse=True,
        ),
    )  # fmt: skip
    record(session, actor, Event("user.read", "user", user.id))
    return shown


def get_link(session: Session, actor: Actor, user_id: uuid.UUID) -> ShownLink | None:
    """How the newest link fares, for a page that asks by itself: no read of the user, and no event (SECURITY 40).
    Raises Forbidden, NotFound."""
    return _newest_link(session, find_user(session, actor, user_id).id)


def get_request(session: Session, actor: Actor, request_id: uuid.UUID) -> WaitingRole | RoleRequest | None:
    """A request that waits; the decided one, for whoever comes late; None for none."""
    for waiting in waiting_roles(session, actor, request_id):
        return waiting
    return session.get(RoleRequest, request_id)


def _name(names: dict[uuid.UUID, str], user_id: uuid.UUID | None) -> str | None:
    return None if user_id is None else names.get(user_id)


def _field_changes(versions: Any, names: dict[uuid.UUID, str]) -> list[Change]:
    """Newest first in, so each one's predecessor is its successor here."""
    found = []
    for position, version in enumerate(versions):
        before = versions[position + 1].content if position + 1 < len(versions) else {}
        is_first = version.version == 1
        names_changed = sorted({*version.content, *before})
        fields = tuple(name for name in names_changed if version.content.get(name) != before.get(name))
        found.append(
            Change(
                version.changed_at, _name(names, version.changed_by), version.reason, () if is_first else fields, None,
                is_first,
            )
        )  # fmt: skip
    return found


def _role_changes(versions: Any, names: dict[uuid.UUID, str]) -> list[Change]:
    return [
        Change(
            version.changed_at, _name(names, version.changed_by), version.reason, (), tuple(version.roles),
            version.version == 1,
        )
        for version in versions
        if version.version > 1 or version.roles
    ]  # fmt: skip


def _newest_link(session: Session, user_id: uuid.UUID) -> ShownLink | None:
    """The link that counts: used and withdrawn ones are history. Its secret is nobody's to select here."""
    link = session.scalars(
        select(PasswordLink)
        .where(PasswordLink.user_id == user_id, PasswordLink.used_at.is_(None), PasswordLink.withdrawn_at.is_(None))
        .order_by(PasswordLink.id.desc())
        .limit(1)
    ).one_or_none()
    if link is None:
        return None
    if link.failed_at is not None:
        state = "failed"
    elif link.sent_at is None:
        state = "waiting" if link.failure is None else "delayed"
    else:
        state = "expired" if link.expires_at is not None and link.expires_at <= datetime.now(UTC) else "sent"
    return ShownLink(link.kind, link.requested_at, link.expires_at if link.sent_at else None, state)


def _tokens(session: Session, user_id: uuid.UUID) -> list[ShownToken]:
    rows = session.scalars(
        select(ApiToken)
        .where(ApiToken.user_id == user_id)
        .options(
            load_only(
                ApiToken.name, ApiToken.acting_role, ApiToken.scopes, ApiToken.quota, ApiToken.created_at,
                ApiToken.expires_at, ApiToken.last_used_at, ApiToken.revoked_at,
            )
        )
        .order_by(ApiToken.id.desc())
    ).all()  # fmt: skip
    return [
        ShownToken(
            token.id, token.name, token.acting_role, tuple(token.scopes), token.quota, token.created_at,
            token.expires_at, token.last_used_at, _token_state(token),
        )
        for token in rows
    ]  # fmt: skip


def _token_state(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at <= datetime.now(UTC) else "live"
