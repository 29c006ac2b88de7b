"""Signing in and out, one's password, and the language of the pages."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, g, make_response, redirect, render_template, request
from flask_babel import gettext
from itsdangerous import BadData, URLSafeTimedSerializer

from models.user import Role
from services.audit_event import Origin
from services.errors import Invalid
from services.login_failures import count_attempt, take_back
from services.password import MAX_LENGTH
from services.password_change import change_password as change_own_password
from services.session_end import end_session
from services.session_start import KnownUser, normal_email, refuse_locked, start_session, verify_sign_in
from web.authentication import current_actor
from web.csrf import drop_cookie, session_cookie, set_cookie, visit_cookie
from web.database import anonymous_work
from web.guards import PUBLIC, SIGNED_IN, Limit, Routes
from web.htmx import go, show
from web.languages import LANGUAGES, language_cookie
from web.local_path import local_path
from web.runtime import runtime

EMAIL_MAX = 254
CHOICE_SECONDS = 120  # to choose a role after the password was right

routes = Routes("account")


def login() -> Any:
    """The form; somebody signed in already goes on."""
    if g.get("actor") is not None:
        return redirect(local_path(request.args.get("next")), 303)
    return _form()


def sign_in() -> Any:
    """Check e-mail and password, or take the role chosen after that, and start a session."""
    if "choice" in request.form:
        return _take_role()
    email = normal_email(request.form.get("email", ""))[: EMAIL_MAX + 1].replace("\0", "")
    password = request.form.get("password", "")
    settings, origin = runtime().settings, _origin()
    with anonymous_work() as session:
        attempt = count_attempt(session, settings, email, g.address)
    if attempt.retry_after is not None:
        with anonymous_work() as session:
            refuse_locked(session, origin)
        minutes = -(-attempt.retry_after // 60)
        answer = _form(gettext("Too many failed attempts. Try again in %(minutes)s min.", minutes=minutes), 429)
        answer.headers["Retry-After"] = str(attempt.retry_after)
        return answer
    with anonymous_work() as session:
        # What is longer than any password here can't be right; it is compared all the same.
        known = verify_sign_in(session, origin, attempt, email, password[: MAX_LENGTH + 1])
    if known is None:
        return _form(gettext("E-mail or password is wrong. Check both and try again."), 401)
    if len(known.roles) > 1:
        return _ask_for_role(known)
    return _start(known.user_id, known.roles[0])


def logout() -> Any:
    """End this session on the server."""
    settings = runtime().settings
    with anonymous_work() as session:
        end_session(session, current_actor())
    answer = redirect("/login", 303)
    drop_cookie(answer, settings, session_cookie(settings))
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


def password() -> Any:
    return show("account/password.html", errors={})


def change_password() -> Any:
    """Change one's own password; a wrong present one counts as a failed sign-in."""
    here, actor = runtime(), current_actor()
    current, new = request.form.get("currentPassword", ""), request.form.get("newPassword", "")
    if new != request.form.get("repeatedPassword", ""):
        return _password_form({"repeatedPassword": gettext("The two are not the same.")})
    with anonymous_work() as session:
        attempt = count_attempt(session, here.settings, f"password of {actor.user_id}", g.address)
    if attempt.retry_after is not None:
        return _password_form({"currentPassword": gettext("Too many failed attempts. Wait a quarter of an hour.")}, 429)
    try:
        with anonymous_work() as session:
            change_own_password(session, actor, here.cipher, current=current[: MAX_LENGTH + 1], new=new)
            take_back(session, attempt)
    except Invalid as error:
        return _password_form({item.pointer.strip("/"): _explain(item.pointer) for item in error.errors})
    return go("/", done="password-changed")


def language() -> Any:
    """Remember in this browser which language its pages speak."""
    settings = runtime().settings
    chosen = request.form.get("language", "")
    answer = redirect(local_path(request.form.get("next")), 303)
    if chosen in LANGUAGES:
        set_cookie(answer, settings, language_cookie(settings), chosen, max_age=365 * 24 * 3600)
    return answer


def _origin() -> Origin:
    return Origin(ip=g.address, user_agent=request.headers.get("User-Agent"), request_id=g.request_id)


def _form(error: str | None = None, status: int = 200) -> Response:
    wanted = local_path(request.values.get("next"))
    page = render_template("account/login.html", error=error, email=request.form.get("email", ""), next=wanted)
    return make_response(page, status)


def _password_form(errors: dict[str, str], status: int = 422) -> Response:
    return show("account/password.html", status=status, errors=errors)


def _explain(pointer: str) -> str:
    if pointer == "/currentPassword":
        return str(gettext("This is not your present password."))
    return str(gettext("At least 12 characters, not a common password, and not the present one."))


def _ask_for_role(known: KnownUser) -> Response:
    """Several roles: one is chosen for this session. The proof of the password is bound to this browser."""
    choice = _choices().dumps([str(known.user_id), [role.value for role in known.roles]])
    page = render_template(
        "account/role.html",
        name=known.name,
        roles=known.roles,
        choice=choice,
        next=local_path(request.values.get("next")),
    )
    return make_response(page)


def _take_role() -> Any:
    try:
        user_id, roles = _choices().loads(request.form["choice"], max_age=CHOICE_SECONDS)
    except BadData:
        return _form(gettext("That took too long. Sign in again."), 401)
    chosen = request.form.get("role", "")
    if chosen not in roles:
        return _form(gettext("Choose one of your roles."), 422)
    return _start(uuid.UUID(user_id), Role(chosen))


def _choices() -> URLSafeTimedSerializer:
    """Signs with a key of this visit: what one browser was given is worth nothing in another."""
    settings = runtime().settings
    visit = request.cookies.get(visit_cookie(settings)) or request.cookies.get(session_cookie(settings), "")
    keys = [*settings.former_secret_keys, settings.secret_key.get_secret_value()]  # the last one signs, all verify
    return URLSafeTimedSerializer(keys, salt=f"role\0{visit}")


def _start(user_id: uuid.UUID, role: Role) -> Any:
    """Start the session under a new secret, whatever the browser brought along (SECURITY 1)."""
    settings = runtime().settings
    name = session_cookie(settings)
    with anonymous_work() as session:
        started = start_session(session, _origin(), user_id, role, replaces=request.cookies.get(name))
    answer = redirect(local_path(request.values.get("next")), 303)
    set_cookie(answer, settings, name, started.secret)
    drop_cookie(answer, settings, visit_cookie(settings))
    return answer


routes.add("/login", view=login, guard=PUBLIC)
routes.add("/login", view=sign_in, guard=PUBLIC, methods=["POST"], limit=Limit.LOGIN)
routes.add("/logout", view=logout, guard=SIGNED_IN, methods=["POST"])
routes.add("/password", view=password, guard=SIGNED_IN)
routes.add("/password", view=change_password, guard=SIGNED_IN, methods=["POST"])
routes.add("/language", view=language, guard=PUBLIC, methods=["POST"])
