"""Single-use links: an invited user, or one whose password is reset, chooses a password.

The secret stands in the path and so in no log of ours, which names rules only. A wrong, used or expired link is
one answer: it says nothing about which of these it is.
"""

from __future__ import annotations

from typing import Any

from flask import Response, g, make_response, redirect, render_template, request
from flask_babel import gettext

from services.audit_event import Origin
from services.errors import Invalid, NotFound
from services.password import MAX_LENGTH
from services.password_link_use import LiveLink, find_link, use_link
from web.database import anonymous_work
from web.forms.sentences import said
from web.guards import PUBLIC, Limit, Routes
from web.runtime import runtime

routes = Routes("invitations")


def open_link(secret: str) -> Response:
    """The form. Looking uses nothing up."""
    try:
        with anonymous_work() as session:
            return _form(find_link(session, secret))
    except NotFound:
        return _nothing()


def choose(secret: str) -> Any:
    """Set the password and end the link. Nobody is signed in by it: that asks for the password just chosen."""
    new = request.form.get("newPassword", "")
    origin = Origin(ip=g.address, user_agent=request.headers.get("User-Agent"), request_id=g.request_id)
    try:
        with anonymous_work() as session:
            link = find_link(session, secret)
        if new != request.form.get("repeatedPassword", ""):
            return _form(link, {"repeatedPassword": gettext("The two are not the same.")})
        with anonymous_work() as session:
            use_link(session, origin, runtime().cipher, secret, new[: MAX_LENGTH + 1])
    except NotFound:
        return _nothing()
    except Invalid as error:
        return _form(link, {item.pointer.strip("/"): said(item.message) for item in error.errors})
    return redirect("/login?done=password-chosen", 303)


def _form(link: LiveLink, errors: dict[str, str] | None = None) -> Response:
    page = render_template("invitations/choose.html", link=link, errors=errors or {})
    return make_response(page, 422 if errors else 200)


def _nothing() -> Response:
    return make_response(render_template("invitations/nothing.html"), 404)


routes.add("/invitations/<secret>", view=open_link, guard=PUBLIC, limit=Limit.LOGIN)
routes.add("/invitations/<secret>", view=choose, guard=PUBLIC, methods=["POST"], limit=Limit.LOGIN)
