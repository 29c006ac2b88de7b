"""Disable a user, enable them again, and send them a link to choose a new password."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from services.errors import Conflict, Invalid
from services.password_link_request import reset_password
from services.user_disable import disable_user
from services.user_enable import enable_user
from services.user_find import find_user
from web.api.schemas import ReasonBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import read_form
from web.guards import Routes
from web.htmx import go
from web.runtime import runtime
from web.views.users import MANAGES, show_user

NO_MAIL = "Mail is not configured, so no link can be sent: set SMTP_URL and PUBLIC_URL."

routes = Routes("user_state")


def disable(user_id: uuid.UUID) -> Any:
    def act(session: Session, reason: str) -> None:
        actor = current_actor()
        email = find_user(session, actor, user_id).email
        disable_user(session, actor, runtime().cipher, email=email, reason=reason)

    return _with_reason(user_id, "disable", "user-disabled", act)


def enable(user_id: uuid.UUID) -> Any:
    def act(session: Session, reason: str) -> None:
        enable_user(session, current_actor(), runtime().cipher, user_id, reason=reason)

    return _with_reason(user_id, "enable", "user-enabled", act)


def reset(user_id: uuid.UUID) -> Any:
    def act(session: Session, reason: str) -> None:
        if not runtime().settings.can_send_mail:
            raise Conflict(NO_MAIL)
        reset_password(session, current_actor(), runtime().cipher, user_id, reason=reason)

    return _with_reason(user_id, "reset", "reset-made", act)


def _with_reason(user_id: uuid.UUID, name: str, done: str, act: Callable[[Session, str], None]) -> Any:
    """Do ``act`` with the reason of the form; what is wrong comes back on the user's page, in that form."""
    form = read_form(ReasonBody)
    if form.body is None:
        return show_user(user_id, form=form, opened=name)
    try:
        with unit_of_work() as session:
            act(session, form.body.reason)
    except (Invalid, Conflict) as error:
        form.refuse(error if isinstance(error, Invalid) else Invalid(error.detail))
        return show_user(user_id, form=form, opened=name)
    runtime().wakeup.mail()
    return go(f"/users/{user_id}", done=done)


routes.add("/users/<uuid:user_id>/disable", view=disable, guard=MANAGES, methods=["POST"])
routes.add("/users/<uuid:user_id>/enable", view=enable, guard=MANAGES, methods=["POST"])
routes.add("/users/<uuid:user_id>/reset", view=reset, guard=MANAGES, methods=["POST"])
