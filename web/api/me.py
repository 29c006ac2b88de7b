"""``GET /api/me``: who the caller is to the server, and what they may do."""

from __future__ import annotations

import uuid

from flask import Response, g
from pydantic import Field

from config import parse_rate
from services.permissions import Scope
from web.api.answers import json_answer
from web.api.schemas import Shown
from web.authentication import current_actor
from web.guards import SIGNED_IN, Operation, Routes
from web.runtime import runtime

routes = Routes("me")


class Quota(Shown):
    limit: int
    window_seconds: int


class Me(Shown):
    id: uuid.UUID
    name: str
    role: str
    council: str | None
    patient_id: uuid.UUID | None
    locale: str
    scopes: list[Scope] | None = Field(description="of the token; null in a person's own session")
    quota: Quota


def show_me() -> Response:
    """Who am I"""
    actor, identity, settings = current_actor(), g.identity, runtime().settings
    if actor.token_id is None:
        rate = settings.rate_limit_pages
    else:
        rate = identity.token_quota or identity.user_quota or settings.rate_limit_default
    limit, seconds = parse_rate(rate)
    return json_answer(
        {
            "id": str(actor.user_id),
            "name": actor.name,
            "role": actor.role.value,
            "council": actor.council,
            "patientId": None if actor.patient_id is None else str(actor.patient_id),
            "locale": identity.locale,
            "scopes": None if actor.scopes is None else sorted(actor.scopes),
            "quota": {"limit": limit, "windowSeconds": seconds},
        }
    )


routes.add(
    "/api/me",
    view=show_me,
    guard=SIGNED_IN,
    operation=Operation("Who am I", "me", {200: Me}),
)
