"""``/users/new``: an account for somebody who works here. They choose their password by a link; nobody else does."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field, StringConstraints

from services.errors import Conflict, Invalid
from services.last_admin import count_other_admins
from services.role_request import ROLES
from services.user_invite import invite_user
from web.api.schemas import ApiModel, Reason, Text
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, read_form
from web.guards import Routes
from web.htmx import go, show
from web.runtime import runtime
from web.views.users import MANAGES_SURELY

routes = Routes("user_invite")


class InviteBody(ApiModel):
    """Who is invited, as what, and why. Which fields a role needs is the service's to say."""

    full_name: Annotated[str, Text(200)]
    email: Annotated[str, Text(254)]
    roles: list[str] = Field(default_factory=list)
    council: Annotated[str, StringConstraints(max_length=40)] | None = None
    cpf: Annotated[str, StringConstraints(max_length=20)] | None = None
    reason: Reason


def invite() -> Response:
    return _page(Form())


def send() -> Any:
    """Make the account and have the link sent; roles that need it wait for a second administrator."""
    here, form = runtime(), read_form(InviteBody)
    body = form.body
    if body is None or not here.settings.can_send_mail:
        return _page(form, 422)
    try:
        with unit_of_work() as session:
            invited = invite_user(
                session, current_actor(), here.cipher, email=body.email, full_name=body.full_name, roles=body.roles,
                council=body.council, cpf=body.cpf, reason=body.reason,
            )  # fmt: skip
    except Invalid as error:
        form.refuse(error)
        return _page(form, 422)
    except Conflict as error:
        form.refuse(Invalid.at("/email", error.detail))
        return _page(form, 422)
    here.wakeup.mail()
    return go(f"/users/{invited.user_id}", done="role-requested" if invited.waiting else "user-invited")


def _page(form: Form[Any], status: int = 200) -> Response:
    with unit_of_work() as session:
        is_alone = count_other_admins(session, current_actor().user_id) == 0
    return show(
        "users/invite.html", status=status, form=form, roles=ROLES, is_alone=is_alone,
        chosen=str(form.values.get("roles", "")).split(), can_mail=runtime().settings.can_send_mail,
    )  # fmt: skip


routes.add("/users/new", view=invite, guard=MANAGES_SURELY)
routes.add("/users/new", view=send, guard=MANAGES_SURELY, methods=["POST"])
