"""The change token of whoever asks, worked out once a request.

A page carries the token of what it shows (layouts/app.html), so that live.js misses nothing between the reading of
the data and its first question. A view whose page is live asks for it before it reads: then it is older than the
data, and at worst the page fetches itself once too often.
"""

from __future__ import annotations

from flask import g

from services.change_token import change_token
from web.authentication import current_actor
from web.runtime import runtime


def live_token() -> str:
    token: str | None = g.get("live_token")
    if token is None:
        here = runtime()
        key = here.settings.secret_key.get_secret_value().encode()
        token = g.live_token = change_token(here.databases, here.clinic_state, current_actor(), key)
    return token
