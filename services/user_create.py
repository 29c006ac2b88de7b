"""Make a user: somebody who can sign in, with the roles they may act as.

``create_user`` is the operator's, at the command line. An administrator invites (services/user_invite.py); both put
the row down through ``add_user``.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config_urls import ADDRESS
from models import Patient, Role, User, UserRole, new_id
from services.actor import Actor
from services.audit_event import Event, Origin, changes_between, record
from services.errors import Conflict, FieldError, Forbidden, Invalid
from services.field_encryption import FieldCipher
from services.password import check_password, hash_password
from services.permissions import Permission
from services.quota_check import quota_errors
from services.session_start import normal_email
from services.user_version import keep_roles_version, keep_user_version

GENERATED_BYTES = 15  # 120 bits, 20 characters


@dataclass(frozen=True, slots=True)
class MadeUser:
    """``password`` only when one was generated: to be handed over, and changed at the first sign-in."""

    user_id: uuid.UUID
    password: str | None


def create_user(
    session: Session,
    actor: Actor | Origin,
    cipher: FieldCipher,
    *,
    email: str,
    full_name: str,
    roles: Sequence[str],
    council: str | None = None,
    password: str | None = None,
    patient_id: uuid.UUID | None = None,
    quota: str | None = None,
) -> MadeUser:
    """Raises Forbidden, Invalid (fields, a weak password), Conflict (the address has an account).

    A PATIENT names their ``patient_id``; nobody else has one. An administrator alone gives no role that a second
    one must approve.
    """
    if isinstance(actor, Actor):
        actor.require(Permission.USER_MANAGE)
    email = normal_email(email)
    held = check_fields(email, full_name, roles, council, patient_id, quota)
    if isinstance(actor, Actor) and any(role.needs_approval for role in held):
        raise Forbidden("A second administrator must approve this role: invite the user instead.")
    generated = None
    if password is None:
        password = generated = secrets.token_urlsafe(GENERATED_BYTES)
    else:
        check_password(password)
    if patient_id is not None and session.get(Patient, patient_id) is None:
        raise Invalid.at("/patientId", "a patient of this clinic")
    user = User(
        id=new_id(), email=email, full_name=full_name, council=council, patient_id=patient_id, quota=quota,
        password_hash=hash_password(password), password_changed_at=datetime.now(UTC),
        must_change_password=generated is not None,
    )  # fmt: skip
    add_user(session, actor, cipher, user, held)
    return MadeUser(user.id, generated)


def add_user(
    session: Session, actor: Actor | Origin, cipher: FieldCipher, user: User, held: Sequence[Role],
    reason: str | None = None,
) -> None:  # fmt: skip
    """Keep a new user who holds ``held``, with the first versions and the event. Raises Conflict when the address
    has an account."""
    if session.scalar(select(User.id).where(func.lower(User.email) == user.email)) is not None:
        raise Conflict("There is a user with this e-mail address already.")
    session.add(user)
    session.flush()
    session.add_all([UserRole(user_id=user.id, role=role.value, granted_by=actor.user_id) for role in held])
    content = keep_user_version(session, actor, user, reason)
    keep_roles_version(session, actor, user, [role.value for role in held])
    event_id = new_id()
    after = {**content, "roles": sorted(role.value for role in held)}
    changes = changes_between(cipher.digest_key, event_id, None, after)
    event = Event("user.create", "user", user.id, to_version=user.version, changes=changes)
    record(session, actor, event, event_id=event_id)
    session.flush()


def check_fields(
    email: str,
    full_name: str,
    roles: Sequence[str],
    council: str | None,
    patient_id: uuid.UUID | None,
    quota: str | None,
) -> list[Role]:
    """The roles asked for. Raises Invalid with every field that is wrong."""
    errors = []
    if not ADDRESS.fullmatch(email) or not email.isprintable() or len(email) > 254:
        errors.append(FieldError("/email", "an e-mail address"))
    if not full_name.strip() or len(full_name) > 200 or "\0" in full_name:
        errors.append(FieldError("/fullName", "a name of 1 to 200 characters"))
    if council is not None and not 0 < len(council.strip()) <= 40:
        errors.append(FieldError("/council", "a council number such as CRM-SP 123456"))
    known = {role.value: role for role in Role}
    held = [known[name] for name in dict.fromkeys(roles) if name in known]
    if not held or len(held) != len(dict.fromkeys(roles)):
        errors.append(FieldError("/roles", f"one or more of {', '.join(known)}"))
    elif (Role.PATIENT in held) != (patient_id is not None):
        errors.append(FieldError("/patientId", "the patient, for the role PATIENT and no other"))
    elif Role.PATIENT in held and len(held) > 1:
        errors.append(FieldError("/roles", "staff roles or PATIENT: a patient who works here has two accounts"))
    errors += quota_errors(quota)
    if errors:
        raise Invalid("The user has fields that can't be accepted.", errors)
    return held
