"""Approve or decline a role that another administrator asked for: two people, and neither is whose role it is."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Role, RoleRequest
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import Conflict, Forbidden, NotFound
from services.field_encryption import FieldCipher
from services.notification_create import notify_user
from services.permissions import Permission
from services.record_write import require_reason
from services.role_write import grant, held_roles
from services.user_find import find_other_user

NEEDS_ANOTHER = "You asked for this role yourself: another administrator must approve it."
NOT_ONESELF = "Nobody decides on their own roles: ask another administrator."


def approve_role(session: Session, actor: Actor, cipher: FieldCipher, request_id: uuid.UUID) -> RoleRequest:
    """The role is in force. Raises Forbidden (not an admin, who asked for it, whose it is), NotFound, Conflict
    (decided already, or the user was disabled meanwhile)."""
    request = _find(session, actor, request_id)
    if request.requested_by == actor.user_id:
        raise Forbidden(NEEDS_ANOTHER)
    user = find_other_user(session, actor, request.user_id, NOT_ONESELF)
    if user.disabled_at is not None:
        raise Conflict("This user is disabled. Enable them first.")
    _decide(session, actor, request, "approved", None)
    if request.role not in held_roles(user):
        grant(session, actor, cipher, user, [Role(request.role)], request.reason)
    return request


def decline_role(session: Session, actor: Actor, request_id: uuid.UUID, *, reason: str | None) -> RoleRequest:
    """The request is closed and nothing was granted; whoever asked may take it back this way too.
    Raises Forbidden (not an admin, whose role it is), NotFound, Conflict (decided already), Invalid."""
    request = _find(session, actor, request_id)
    find_other_user(session, actor, request.user_id, NOT_ONESELF)
    _decide(session, actor, request, "declined", require_reason(reason))
    return request


def _find(session: Session, actor: Actor, request_id: uuid.UUID) -> RoleRequest:
    actor.require(Permission.USER_MANAGE)
    # The database locks for staff what may still change: a decided request is not among it.
    wanted = select(RoleRequest).where(RoleRequest.id == request_id, RoleRequest.decided_at.is_(None))
    request = session.scalars(wanted.with_for_update().execution_options(populate_existing=True)).one_or_none()
    if request is None:
        if session.scalar(select(RoleRequest.id).where(RoleRequest.id == request_id)) is None:
            raise NotFound("There is no such request.")
        raise Conflict("Somebody decided on this request already.")
    return request


def _decide(session: Session, actor: Actor, request: RoleRequest, outcome: str, reason: str | None) -> None:
    request.outcome, request.decision_reason = outcome, reason
    request.decided_by, request.decided_at = actor.user_id, datetime.now(UTC)
    session.flush()
    action = "role.approve" if outcome == "approved" else "role.decline"
    record(session, actor, Event(action, "role_request", request.id))
    if request.requested_by != actor.user_id:
        notify_user(session, request.requested_by, kind=f"role.{outcome}", subject_id=request.id)
