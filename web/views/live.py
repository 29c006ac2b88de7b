"""``/live``: the change token an open page asks for every few seconds. Never data, never a read event."""

from __future__ import annotations

from flask import Response

from services.change_token import change_token
from web.api.answers import json_answer
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import SIGNED_IN, Routes
from web.runtime import runtime

routes = Routes("live")


def token() -> Response:
    """One word that differs once something this reader's pages show has changed."""
    key = runtime().settings.secret_key.get_secret_value().encode()
    with unit_of_work() as session:
        return json_answer({"token": change_token(session, current_actor(), key)})


routes.add("/live", view=token, guard=SIGNED_IN)
