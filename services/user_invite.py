"""Invite somebody who works here: an account without a password, and a link with which they choose one.

Roles that one administrator may give are in force at once; the others wait for a second (services/role_request.py).
The link goes out with the first role in force, so nobody chooses a password that then opens nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Role, User, new_id
from services.actor import Actor
from services.errors import FieldError, Invalid
from services.field_encryption import FieldCipher
from services.identifier_check import WHAT_IT_IS, normalize
from services.identifier_turns import take_turns
from services.password_link_request import request_link
from services.permissions import Permission
from services.record_write import require_reason
from services.role_request import ROLES, ask_for, check_council
from services.session_start import normal_email
from services.user_create import add_user, check_fields

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Invited:
    """``waiting``: roles that a second administrator must approve."""

    user_id: uuid.UUID
    granted: tuple[Role, ...]
    waiting: tuple[Role, ...]


def invite_user(
    session: Session, actor: Actor, cipher: FieldCipher, *, email: str, full_name: str, roles: Sequence[str],
    reason: str | None, council: str | None = None, cpf: str | None = None, locale: str = "pt_BR",
) -> Invited:  # fmt: skip
    """Raises Forbidden (not an admin), Invalid (fields; a CPF that another user has), Conflict (the address has an
    account)."""
    actor.require(Permission.USER_MANAGE)
    email = normal_email(email)
    errors: list[FieldError] = []
    wanted: list[Role] = []
    try:
        wanted = check_fields(email, full_name, roles, council or None, None, None)
    except Invalid as error:
        errors += [item for item in error.errors if item.pointer not in ("/patientId", "/roles")]
    if not roles or any(role not in ROLES for role in roles):
        errors.append(FieldError("/roles", "one or more roles of the clinic's staff"))
    stated = _collect(errors, lambda: require_reason(reason))
    council = _collect(errors, lambda: check_council(wanted, council))
    number = _collect(errors, lambda: _free_cpf(session, cipher, cpf))
    if errors:
        raise Invalid("The user has fields that can't be accepted.", errors)
    user = User(
        id=new_id(), email=email, full_name=full_name.strip(), council=council, password_hash=None, locale=locale
    )
    if number is not None:
        user.cpf_cipher, user.cpf_index = cipher.encrypt(number, user.id), cipher.blind_index("cpf", number)
    granted = [role for role in wanted if not role.needs_approval]
    waiting = [role for role in wanted if role.needs_approval]
    add_user(session, actor, cipher, user, granted, stated)
    if granted:
        request_link(session, actor, user.id, "invitation")
    ask_for(session, actor, user, waiting, stated or "")
    session.flush()
    return Invited(user.id, tuple(granted), tuple(waiting))


def _free_cpf(session: Session, cipher: FieldCipher, cpf: str | None) -> str | None:
    """The digits of ``cpf``, which no other user has (SBIS NGS1.03). Kept sealed, for nobody but a change of keys."""
    if not cpf:
        return None
    digits = normalize("cpf", cpf)
    if digits is None:
        raise Invalid.at("/cpf", WHAT_IT_IS["cpf"])
    indexes = cipher.blind_indexes("cpf", digits)
    take_turns(session, cipher, indexes)
    if session.scalar(select(User.id).where(User.cpf_index.in_(indexes))) is not None:
        raise Invalid.at("/cpf", "a CPF that no other user has: this person has an account already")
    return digits


def _collect(errors: list[FieldError], check: Callable[[], T]) -> T | None:
    """What ``check`` gives; its errors join ``errors``, so that a form shows them all at once."""
    try:
        return check()
    except Invalid as error:
        errors.extend(item for item in error.errors if item.pointer not in {known.pointer for known in errors})
        return None
