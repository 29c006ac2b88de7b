"""Make a bearer token for an integrator: 256 random bits, shown once, kept as SHA-256 (SECURITY 22)."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import ApiToken, Role, User, new_id
from services.actor import Actor
from services.audit_event import Event, Origin, changes_between, record
from services.authenticate import TOKEN_PREFIX, secret_hash
from services.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.notification_create import notify_user
from services.permissions import Permission, Scope, scopes_of
from services.quota_check import quota_errors
from services.record_fields import time_text
from services.session_start import normal_email, roles_of

SECRET_BYTES = 32
LIFETIME = timedelta(days=90)
LIFETIME_MAX = timedelta(days=3650)
# Whoever makes a token sees its secret, and could act by it: an administrator would read as a doctor, or as a patient.
SEES_MORE = (
    "This role sees what administrators do not, and whoever makes a token could use it. "
    "Such a token is made at the server: sigilo token create."
)


@dataclass(frozen=True, slots=True)
class MadeToken:
    """``secret`` is the token itself; nobody can read it again."""

    token_id: uuid.UUID
    secret: str
    role: Role
    scopes: tuple[str, ...]
    expires_at: datetime


def create_token(
    session: Session,
    actor: Actor | Origin,
    cipher: FieldCipher,
    *,
    email: str,
    name: str = "token",
    scopes: Sequence[str] = (),
    quota: str | None = None,
    lifetime: timedelta = LIFETIME,
    role: Role | None = None,
) -> MadeToken:
    """A token of the user with ``email``, acting as ``role`` (the first they hold when not named).

    No ``scopes`` means all that the role may do. ``quota`` replaces the user's own. Its user is told, and the event
    says what the token is (never its secret) in digests, so that the row can be held against it.

    Raises Forbidden (not an admin, or for oneself), NotFound, Conflict (a disabled user), Invalid.
    """
    if isinstance(actor, Actor):
        actor.require(Permission.USER_MANAGE)
    user = session.scalars(select(User).where(User.email == normal_email(email))).one_or_none()
    if user is None:
        raise NotFound("There is no user with this e-mail address.")
    if user.id == actor.user_id:
        raise Forbidden("Nobody makes tokens for themselves: ask another administrator.")
    if user.disabled_at is not None:
        raise Conflict("This user is disabled.")
    acting, granted = _check(user, name, scopes, quota, lifetime, role)
    if isinstance(actor, Actor) and acting is not Role.ADMIN:
        raise Forbidden(SEES_MORE)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    token = ApiToken(
        id=new_id(), user_id=user.id, name=name, secret_hash=secret_hash(secret), acting_role=acting.value,
        scopes=granted, quota=quota, created_by=actor.user_id, expires_at=datetime.now(UTC) + lifetime,
    )  # fmt: skip
    session.add(token)
    session.flush()
    event_id = new_id()
    content = {
        "userId": str(user.id), "name": name, "role": acting.value, "scopes": granted, "quota": quota,
        "expiresAt": time_text(token.expires_at),
    }  # fmt: skip
    changes = changes_between(cipher.digest_key, event_id, None, content)
    record(session, actor, Event("token.create", "token", token.id, changes=changes), event_id=event_id)
    if acting is not Role.PATIENT:  # who has no notices
        notify_user(session, user.id, kind="token.created", subject_id=token.id)
    return MadeToken(token.id, secret, acting, tuple(granted), token.expires_at)


def _check(
    user: User, name: str, scopes: Sequence[str], quota: str | None, lifetime: timedelta, role: Role | None
) -> tuple[Role, list[str]]:
    errors = []
    held = roles_of(user)
    if not held or (role is not None and role not in held):
        raise Invalid.at("/role", "a role that this user holds")
    acting = role or held[0]
    if not name.strip() or len(name) > 100 or "\0" in name:
        errors.append(FieldError("/name", "what the token is for, in 1 to 100 characters"))
    possible = scopes_of(acting)
    unknown = [scope for scope in scopes if scope not in set(Scope)]
    useless = [scope for scope in scopes if scope not in possible and scope not in unknown]
    if unknown:
        errors.append(FieldError("/scopes", f"scopes are {', '.join(Scope)}"))
    elif useless:
        errors.append(FieldError("/scopes", f"the role {acting} may have {', '.join(sorted(possible)) or 'none'}"))
    if not timedelta(0) < lifetime <= LIFETIME_MAX:
        errors.append(FieldError("/days", f"1 to {LIFETIME_MAX.days} days"))
    errors += quota_errors(quota)
    if errors:
        raise Invalid("The token can't be made like this.", errors)
    return acting, sorted(str(scope) for scope in (set(scopes) or possible))
