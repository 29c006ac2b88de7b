"""Roles: give and take them, and decide on those that another administrator asked for."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from flask import Response
from pydantic import StringConstraints

from services.errors import Conflict, Invalid, NotFound
from services.role_decide import approve_role, decline_role
from services.role_remove import remove_role
from services.role_request import ROLES, request_role
from services.user_get import get_request, get_user
from services.user_list import WaitingRole
from web.api.schemas import ApiModel, Reason, ReasonBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, read_form
from web.guards import Routes
from web.htmx import go, show
from web.runtime import runtime
from web.views.users import MANAGES_SURELY

routes = Routes("user_roles")


class RoleBody(ApiModel):
    role: Annotated[str, StringConstraints(max_length=20)]
    council: Annotated[str, StringConstraints(max_length=40)] | None = None
    reason: Reason


class RemovalBody(ApiModel):
    role: Annotated[str, StringConstraints(max_length=20)]
    reason: Reason


def roles(user_id: uuid.UUID) -> Response:
    return _page(user_id, Form())


def add(user_id: uuid.UUID) -> Any:
    form = read_form(RoleBody)
    body = form.body
    if body is None:
        return _page(user_id, form)
    try:
        with unit_of_work() as session:
            is_in_force = request_role(
                session, current_actor(), runtime().cipher, user_id, role=body.role, reason=body.reason,
                council=body.council,
            )  # fmt: skip
    except (Invalid, Conflict) as error:
        form.refuse(_as_invalid(error))
        return _page(user_id, form)
    runtime().wakeup.mail()
    return go(f"/users/{user_id}", done="role-approved" if is_in_force else "role-requested")


def remove(user_id: uuid.UUID) -> Any:
    form = read_form(RemovalBody)
    body = form.body
    if body is None:
        return _page(user_id, form, removing=str(form.values.get("role", "")))
    try:
        with unit_of_work() as session:
            remove_role(
                session, current_actor(), runtime().cipher, user_id, role=body.role, reason=body.reason
            )
    except (Invalid, Conflict) as error:
        form.refuse(_as_invalid(error))
        return _page(user_id, form, removing=body.role)
    return go(f"/users/{user_id}", done="role-removed")


def request_page(request_id: uuid.UUID) -> Response:
    return _request_page(request_id, Form())


def approve(request_id: uuid.UUID) -> Any:
    with unit_of_work() as session:
        request = approve_role(session, current_actor(), runtime().cipher, request_id)
    runtime().wakeup.mail()
    return go(f"/users/{request.user_id}", done="role-approved")


def decline(request_id: uuid.UUID) -> Any:
    form = read_form(ReasonBody)
    if form.body is None:
        return _request_page(request_id, form)
    with unit_of_work() as session:
        request = decline_role(session, current_actor(), request_id, reason=form.body.reason)
    return go(f"/users/{request.user_id}", done="role-declined")


def _as_invalid(error: Invalid | Conflict) -> Invalid:
    return error if isinstance(error, Invalid) else Invalid(error.detail)


def _page(user_id: uuid.UUID, form: Form[Any], *, removing: str | None = None) -> Response:
    """The roles of one user; ``removing``: the role whose removal came back with errors."""
    with unit_of_work() as session:
        actor = current_actor()
        user = get_user(session, actor, user_id)
        taken = {held.role for held in user.roles} | {waiting.role for waiting in user.waiting}
        return show(
            "users/roles.html", status=422 if form.errors else 200, user=user, form=form, removing=removing,
            free=[role for role in ROLES if role.value not in taken], is_oneself=user.id == actor.user_id,
        )  # fmt: skip


def _request_page(request_id: uuid.UUID, form: Form[Any]) -> Response:
    """One request: who asked for what, for whom and why. Somebody who comes late is sent to the user."""
    with unit_of_work() as session:
        actor = current_actor()
        request = get_request(session, actor, request_id)
        if request is None:
            raise NotFound("There is no such request.")
        if not isinstance(request, WaitingRole):
            raise Conflict("Somebody decided on this request already.")
        return show(
            "users/request.html", status=422 if form.errors else 200, waiting=request, form=form,
            is_own=request.requested_by == actor.user_id, is_oneself=request.user_id == actor.user_id,
        )  # fmt: skip


routes.add("/users/<uuid:user_id>/roles", view=roles, guard=MANAGES_SURELY)
routes.add("/users/<uuid:user_id>/roles", view=add, guard=MANAGES_SURELY, methods=["POST"])
routes.add("/users/<uuid:user_id>/roles/remove", view=remove, guard=MANAGES_SURELY, methods=["POST"])
routes.add("/users/requests/<uuid:request_id>", view=request_page, guard=MANAGES_SURELY)
routes.add("/users/requests/<uuid:request_id>/approve", view=approve, guard=MANAGES_SURELY, methods=["POST"])
routes.add("/users/requests/<uuid:request_id>/decline", view=decline, guard=MANAGES_SURELY, methods=["POST"])
