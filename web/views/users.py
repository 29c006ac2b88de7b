"""``/users``: who may sign in, as what, and with which tokens; and what waits for a second administrator."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, g, make_response, render_template, request
from sqlalchemy.orm import Session

from services.last_admin import count_other_admins
from services.permissions import Permission
from services.role_request import ROLES
from services.user_get import ShownUser, get_link, get_user
from services.user_list import STATES, UserFilters, list_users, waiting_roles
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form
from web.guards import Guard, Routes
from web.htmx import show
from web.runtime import runtime

MANAGES = Guard(Permission.USER_MANAGE)
MANAGES_SURELY = Guard(Permission.USER_MANAGE, step_up=True)
FRAGMENTS = {"found": "users/_found.html", "more": "users/_rows.html"}
Q_MAX = 200

routes = Routes("users")


def users() -> Response:
    """Everybody, by name; what waits for approval above."""
    return _list(UserFilters())


def search() -> Response:
    """The same, narrowed, or its next page. What is looked for stands in no address."""
    given = request.form
    state, role = given.get("state", ""), given.get("role", "")
    filters = UserFilters(
        q=given.get("q", "").strip().replace("\0", "")[:Q_MAX] or None,
        role=role if role in {known.value for known in ROLES} | {"PATIENT"} else None,
        state=next((known for known in STATES if known == state), None),
    )
    return _list(filters, after=given.get("cursor") or None)


def requests() -> Response:
    """What waits for approval, for an open page that asks by itself."""
    with unit_of_work() as session:
        return make_response(render_template("users/_waiting.html", **_waiting(session)))


def user(user_id: uuid.UUID) -> Response:
    return show_user(user_id)


def link(user_id: uuid.UUID) -> Response:
    """How the link to choose a password fares, for an open page that asks by itself."""
    with unit_of_work() as session:
        found = get_link(session, current_actor(), user_id)
        return make_response(render_template("users/_live.html", link=found, user_id=user_id))


def show_user(user_id: uuid.UUID, *, form: Form[Any] | None = None, opened: str | None = None) -> Response:
    """The user's page; ``form`` came back with errors and belongs to the act ``opened``. Raises NotFound."""
    with unit_of_work() as session:
        found: ShownUser = get_user(session, current_actor(), user_id)
        return show(
            "users/user.html",
            status=200 if form is None else 422,
            user=found,
            form=form or Form(),
            opened=opened,
            is_oneself=found.id == g.actor.user_id,
            can_mail=runtime().settings.can_send_mail,
        )


def _list(filters: UserFilters, *, after: str | None = None) -> Response:
    with unit_of_work() as session:
        page = list_users(session, current_actor(), filters, after=after)
        return show(
            "users/users.html",
            FRAGMENTS,
            page=page,
            filters=filters,
            is_continued=after is not None,
            roles=[role.value for role in ROLES],
            **_waiting(session),
        )


def _waiting(session: Session) -> dict[str, Any]:
    """What templates/users/_waiting.html shows."""
    actor = current_actor()
    return {
        "waiting": waiting_roles(session, actor),
        "is_alone": count_other_admins(session, actor.user_id) == 0,
        "me": actor.user_id,
    }


routes.add("/users", view=users, guard=MANAGES)
routes.add("/users/search", view=search, guard=MANAGES, methods=["POST"])
routes.add("/users/requests", view=requests, guard=MANAGES)
routes.add("/users/<uuid:user_id>", view=user, guard=MANAGES)
routes.add("/users/<uuid:user_id>/link", view=link, guard=MANAGES)
