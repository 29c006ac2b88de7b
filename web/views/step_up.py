"""``/step-up``: the password again, before what asks for it (SECURITY 6); then back to where one was."""

from __future__ import annotations

from typing import Any

from flask import Response, g, redirect, request
from flask_babel import gettext

from services.login_failures import count_attempt
from services.password import MAX_LENGTH
from services.step_up import step_up as confirm_password
from web.authentication import current_actor
from web.csrf import session_cookie, set_cookie
from web.database import anonymous_work
from web.guards import SIGNED_IN, Limit, Routes
from web.htmx import show
from web.local_path import local_path
from web.runtime import runtime

routes = Routes("step_up")


def step_up() -> Response:
    return _form()


def confirm() -> Any:
    """Check the password, counted as attempts to change it are; the session goes on under a new secret."""
    here, actor = runtime(), current_actor()
    with anonymous_work() as session:
        attempt = count_attempt(session, here.settings, f"password of {actor.user_id}", g.address)
    if attempt.retry_after is not None:
        minutes = -(-attempt.retry_after // 60)
        locked = _form(gettext("Too many failed attempts. Try again in %(minutes)s min.", minutes=minutes), 429)
        locked.headers["Retry-After"] = str(attempt.retry_after)
        return locked
    with anonymous_work() as session:
        secret = confirm_password(session, actor, attempt, request.form.get("password", "")[: MAX_LENGTH + 1])
    if secret is None:
        return _form(gettext("This is not your present password."), 422)
    answer = redirect(local_path(request.form.get("next")), 303)
    set_cookie(answer, here.settings, session_cookie(here.settings), secret)
    return answer


def _form(error: str | None = None, status: int = 200) -> Response:
    return show("account/step_up.html", status=status, error=error, next=local_path(request.values.get("next")))


routes.add("/step-up", view=step_up, guard=SIGNED_IN)
routes.add("/step-up", view=confirm, guard=SIGNED_IN, methods=["POST"], limit=Limit.LOGIN)
