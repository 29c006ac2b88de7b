"""Sign in with e-mail and password, and start a server-side session (SECURITY 1, 8, 11, 12).

What a caller learns of a failure is that it failed: an unknown address, a wrong password, a disabled user and
one without a password take the same path, compute one hash and get the same answer.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session, undefer

from models import Role, User, new_id
from models import Session as SessionRow
from observability.metrics import LOGINS
from services.audit_event import Event, Origin, record
from services.authenticate import secret_hash
from services.login_failures import Attempt, take_back
from services.password import hash_password, needs_rehash, verify_password

ABSOLUTE_HOURS_MAX = 12
SECRET_BYTES = 32

ABSOLUTE = text(
    f"""
    SELECT LEAST({ABSOLUTE_HOURS_MAX}, GREATEST(1, coalesce((
        SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN trunc((value #>> '{{}}')::numeric) END
        FROM settings WHERE key = 'session.absolute_hours'
    ), {ABSOLUTE_HOURS_MAX})))::int
    """
)


@dataclass(frozen=True, slots=True)
class KnownUser:
    """Somebody whose password was right. ``roles`` in the order a role is offered."""

    user_id: uuid.UUID
    name: str
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class StartedSession:
    """``secret`` goes into the cookie and is kept nowhere else."""

    session_id: uuid.UUID
    secret: str
    expires_at: datetime
    role: Role


def normal_email(email: str) -> str:
    return email.strip().lower()


def verify_sign_in(session: Session, origin: Origin, attempt: Attempt, email: str, password: str) -> KnownUser | None:
    """Who this is, or None; a failure's event and a success's cleared count are for the caller to commit."""
    user = session.scalars(select(User).where(User.email == email).options(undefer(User.password_hash))).one_or_none()
    stored = user.password_hash if user is not None and user.disabled_at is None else None
    is_right = verify_password(stored, password)
    if user is None or stored is None or not is_right or not user.roles:
        LOGINS.labels("failure").inc()
        # Whose account was tried is known only when it exists; the event names it, the answer does not.
        event = Event("session.login", "user", user.id if user is not None else None, outcome="failure")
        record(session, origin, event)
        return None
    if needs_rehash(stored):
        session.execute(update(User.__table__).where(User.id == user.id).values(password_hash=hash_password(password)))  # type: ignore[arg-type]
    take_back(session, attempt)
    return KnownUser(user.id, user.full_name, roles_of(user))


def refuse_locked(session: Session, origin: Origin) -> None:
    """Write the event of an attempt that came while the account or address is locked."""
    LOGINS.labels("locked").inc()
    record(session, origin, Event("session.login", "user", outcome="refused"))


def roles_of(user: User) -> tuple[Role, ...]:
    held = {held.role for held in user.roles}
    return tuple(role for role in Role if role.value in held)


def start_session(
    session: Session, origin: Origin, user_id: uuid.UUID, role: Role, *, replaces: str | None = None
) -> StartedSession:
    """Start a session acting as ``role``, with a new secret; the one that ``replaces`` opens is ended.

    The caller has verified that the user is who they say and holds ``role``.
    """
    secret, session_id, now = secrets.token_urlsafe(SECRET_BYTES), new_id(), datetime.now(UTC)
    if replaces is not None:
        session.execute(
            update(SessionRow)
            .where(SessionRow.secret_hash == secret_hash(replaces), SessionRow.ended_at.is_(None))
            .values(ended_at=now, ended_because="replaced")
        )
    expires_at = now + timedelta(hours=session.execute(ABSOLUTE).scalar_one())
    session.execute(
        insert(SessionRow).values(
            id=session_id, secret_hash=secret_hash(secret), user_id=user_id, acting_role=role.value, created_at=now,
            last_seen_at=now, expires_at=expires_at, ip=origin.ip, user_agent=origin.user_agent,
        )
    )  # fmt: skip
    signed_in = Origin(
        user_id=user_id, role=role.value, ip=origin.ip, user_agent=origin.user_agent, request_id=origin.request_id,
        session_id=session_id,
    )  # fmt: skip
    record(session, signed_in, Event("session.login", "user", user_id))
    LOGINS.labels("success").inc()
    return StartedSession(session_id, secret, expires_at, role)
