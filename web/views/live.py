"""What an open page asks by itself: has anything changed? And what its person says: I am still here."""

from __future__ import annotations

from flask import Response

from web.api.answers import json_answer, no_content
from web.guards import SIGNED_IN, Limit, Routes
from web.live_token import live_token

routes = Routes("live")


def token() -> Response:
    """One word that differs once something this reader's pages show has changed. Never data, never a read event."""
    return json_answer({"token": live_token()})


def stay() -> Response:
    """A sign of life: looking the session up noted it already."""
    return no_content()


routes.add("/live", view=token, guard=SIGNED_IN, limit=Limit.LIVE)
routes.add("/live/stay", view=stay, guard=SIGNED_IN)
