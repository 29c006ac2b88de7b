"""The change tokens of whoever asks, worked out once a request.

A page carries the tokens of what it shows (layouts/app.html), so that live.js misses nothing between the answer and
its first question. A view that asks for them before it reads, as the start page and a patient's do, misses nothing
during the reading either: the token is older than the data, and at worst the page fetches itself once too often.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flask import g

from services.change_token import change_token, patient_token
from web.authentication import current_actor
from web.runtime import runtime


@dataclass(frozen=True, slots=True)
class Watched:
    """The patient whom a page is about, and the token of what it shows of them."""

    patient_id: uuid.UUID
    token: str


def live_token() -> str:
    token: str | None = g.get("live_token")
    if token is None:
        here = runtime()
        token = g.live_token = change_token(here.databases, here.clinic_state, current_actor(), _key())
    return token


def watch_patient(patient_id: uuid.UUID) -> str:
    """The token of one patient. The page that is being made says so when it changes. Raises Forbidden."""
    token = patient_token(runtime().databases, current_actor(), patient_id, _key())
    g.watched = Watched(patient_id, token)
    return token


def watched() -> Watched | None:
    found: Watched | None = g.get("watched")
    return found


def _key() -> bytes:
    return runtime().settings.secret_key.get_secret_value().encode()
