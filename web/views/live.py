"""What an open page asks by itself: has anything changed? And what its person says: I am still here."""

from __future__ import annotations

from flask import Response

from services.change_token import change_token
from web.api.answers import json_answer, no_content
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import SIGNED_IN, Limit, Routes
from web.runtime import runtime

routes = Routes("live")


def token() -> Response:
    """One word that differs once something this reader's pages show has changed. Never data, never a read event."""
    key = runtime().settings.secret_key.get_secret_value().encode()
    with unit_of_work() as session:
        return json_answer({"token": change_token(session, current_actor(), key)})


def stay() -> Response:
    """A sign of life: looking the session up noted it already."""
    return no_content()


routes.add("/live", view=token, guard=SIGNED_IN, limit=Limit.LIVE)
routes.add("/live/stay", view=stay, guard=SIGNED_IN)
