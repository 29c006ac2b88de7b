"""Give somebody a role: at once, or as a request that a second administrator must approve (SBIS NGS1.03).

Clinical roles open patients' records, and ADMIN makes administrators: for these, one person is not enough.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from models import Role, RoleRequest, User, new_id
from services.actor import Actor
from services.audit_event import Event, record
from services.council_number import council_for, normal_council
from services.errors import Conflict, Invalid
from services.field_encryption import FieldCipher
from services.notification_create import notify_admins
from services.record_write import require_reason
from services.role_write import grant
from services.user_find import find_other_user
from services.user_version import user_content
from services.user_write import save_user

NEVER_ONESELF = "Nobody changes their own roles: ask another administrator."
MISSING_COUNCIL = {
    Role.DOCTOR: "a doctor's CRM, such as CRM-SP 123456",
    Role.NURSE: "a nurse's COREN, such as COREN-SP 654321",
}
ROLES = tuple(role for role in Role if role is not Role.PATIENT)  # a patient's account is a patient's, not staff's


def request_role(
    session: Session, actor: Actor, cipher: FieldCipher, user_id: uuid.UUID, *, role: str, reason: str | None,
    council: str | None = None,
) -> bool:  # fmt: skip
    """Whether the role is in force already; False when it waits for approval.

    ``council`` is needed for a clinical role of somebody who has no such number yet. Raises Forbidden (not an
    admin, or oneself), NotFound, Conflict (held or asked for already, disabled, a patient), Invalid.
    """
    user = find_other_user(session, actor, user_id, NEVER_ONESELF)
    if user.disabled_at is not None:
        raise Conflict("This user is disabled. Enable them first.")
    if user.patient_id is not None:
        raise Conflict("This is a patient's account. Somebody who works here gets one of their own.")
    stated = require_reason(reason)
    wanted = staff_role(role)
    if any(held.role == wanted for held in user.roles):
        raise Conflict("This user holds that role already.")
    _take_council(session, actor, cipher, user, wanted, council)
    if not wanted.needs_approval:
        grant(session, actor, cipher, user, [wanted], stated)
        return True
    waiting = select(RoleRequest.id).where(
        RoleRequest.user_id == user.id, RoleRequest.role == wanted.value, RoleRequest.decided_at.is_(None)
    )
    if session.scalar(waiting) is not None:
        raise Conflict("That role was asked for already and waits for a second administrator.")
    ask_for(session, actor, user, [wanted], stated)
    return False


def ask_for(session: Session, actor: Actor, user: User, roles: Sequence[Role], reason: str) -> None:
    """Write a request for each of ``roles`` and tell the other administrators."""
    for role in roles:
        request_id = new_id()
        # Named columns only: staff may not even say NULL for a decision.
        values = {"user_id": user.id, "role": role.value, "reason": reason, "requested_by": actor.user_id}
        session.execute(insert(RoleRequest).values(id=request_id, **values))
        record(session, actor, Event("role.request", "role_request", request_id))
        notify_admins(session, kind="role.requested", subject_id=request_id, but_not=actor.user_id)


def staff_role(name: str) -> Role:
    """Raises Invalid unless ``name`` is a role that staff hold."""
    for role in ROLES:
        if role.value == name:
            return role
    raise Invalid.at("/role", "a role of the clinic's staff")


def check_council(roles: Sequence[Role], council: str | None, *, held: str | None = None) -> str | None:
    """The council number as it is kept. Raises Invalid when it is none, or not of the kind that ``roles`` need."""
    given = council.strip() if council else ""
    normal = normal_council(given) if given else held
    if given and normal is None:
        raise Invalid.at("/council", "a council number such as CRM-SP 123456 or COREN-SP 654321")
    for role in roles:
        if not council_for(role, normal):
            raise Invalid.at("/council", MISSING_COUNCIL[role])
    return normal


def _take_council(
    session: Session, actor: Actor, cipher: FieldCipher, user: User, role: Role, council: str | None
) -> None:
    normal = check_council([role], council, held=user.council)
    if normal == user.council:
        return
    before = user_content(user)
    user.council = normal
    save_user(session, actor, cipher, user, before=before)
