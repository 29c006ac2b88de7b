"""Tokens of the JSON API: made for a user, shown on the answer's page and never again, revoked."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Annotated, Any

from flask import Response, request
from pydantic import Field, StringConstraints

from models.user import Role
from services.errors import Conflict, Invalid
from services.permissions import scopes_of
from services.token_create import LIFETIME, LIFETIME_MAX, create_token
from services.token_revoke import revoke_token
from services.user_get import ShownUser, get_user
from web.api.schemas import ApiModel, Text
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, read_form
from web.guards import Routes
from web.htmx import go, show
from web.runtime import runtime
from web.views.users import MANAGES, MANAGES_SURELY

routes = Routes("user_tokens")


class TokenBody(ApiModel):
    name: Annotated[str, Text(100)]
    role: Annotated[str, StringConstraints(max_length=20)]
    scopes: list[str] = Field(default_factory=list)
    quota: Annotated[str, StringConstraints(max_length=30)] | None = None
    days: Annotated[int, Field(ge=1, le=LIFETIME_MAX.days)] = LIFETIME.days


def new(user_id: uuid.UUID) -> Response:
    """``?role=`` says for which of the user's roles, since each has scopes of its own."""
    return _page(user_id, Form(values={"days": LIFETIME.days}), role=request.args.get("role"))


def create(user_id: uuid.UUID) -> Any:
    """Make the token and show it. There is no address at which it could be seen again."""
    form = read_form(TokenBody)
    body = form.body
    chosen = str(form.values.get("role", ""))
    if body is None:
        return _page(user_id, form, role=chosen)
    try:
        with unit_of_work() as session:
            actor = current_actor()
            user = get_user(session, actor, user_id)
            role = next((role for role in Role if role.value == body.role), None)
            if role is None:
                raise Invalid.at("/role", "a role that this user holds")
            if scopes_of(role) and not body.scopes:
                raise Invalid.at("/scopes", "at least one: a token without scopes may do everything the role may")
            made = create_token(
                session, actor, runtime().cipher, email=user.email, name=body.name, scopes=body.scopes,
                quota=body.quota, lifetime=timedelta(days=body.days), role=role,
            )  # fmt: skip
            return show("users/token_made.html", user=user, made=made, name=body.name)
    except (Invalid, Conflict) as error:
        form.refuse(error if isinstance(error, Invalid) else Invalid(error.detail))
        return _page(user_id, form, role=chosen)


def revoke(user_id: uuid.UUID, token_id: uuid.UUID) -> Any:
    with unit_of_work() as session:
        revoke_token(session, current_actor(), user_id, token_id)
    return go(f"/users/{user_id}", done="token-revoked")


def _page(user_id: uuid.UUID, form: Form[Any], *, role: str | None) -> Response:
    with unit_of_work() as session:
        actor = current_actor()
        user: ShownUser = get_user(session, actor, user_id)
        held = [each.role for each in user.roles if each.role == Role.ADMIN.value]
        acting = role if role in held else (held[0] if held else None)
        return show(
            "users/token_new.html", status=422 if form.errors else 200, user=user, form=form, held=held,
            acting=acting, scopes=sorted(scopes_of(Role(acting))) if acting else [],
            chosen=str(form.values.get("scopes", "")).split(), is_oneself=user.id == actor.user_id,
        )  # fmt: skip


routes.add("/users/<uuid:user_id>/tokens/new", view=new, guard=MANAGES_SURELY)
routes.add("/users/<uuid:user_id>/tokens", view=create, guard=MANAGES_SURELY, methods=["POST"])
routes.add("/users/<uuid:user_id>/tokens/<uuid:token_id>/revoke", view=revoke, guard=MANAGES, methods=["POST"])
