"""What an open page asks by itself: has anything changed? And what its person says: I am still here."""

from __future__ import annotations

import uuid

from flask import Response
from flask_wtf.csrf import generate_csrf

from web.api.answers import json_answer, no_content
from web.api.schemas import ApiModel
from web.authentication import current_actor
from web.guards import SIGNED_IN, Limit, Routes
from web.live_token import live_token, watch_patient
from web.request_body import read_query

routes = Routes("live")


class LiveQuery(ApiModel):
    patient_id: uuid.UUID | None = None


def token() -> Response:
    """One word that differs once something this reader's pages show has changed, and one for the patient whom their
    page is about. Never data, never a read event."""
    patient_id = read_query(LiveQuery).patient_id
    about = {} if patient_id is None else {"patientToken": watch_patient(patient_id)}
    return json_answer({"token": live_token(), **about})


def stay() -> Response:
    """A sign of life: looking the session up noted it already."""
    return no_content()


def form_token() -> Response:
    """A form token of the session that this browser has now, and whose session it is, acting as what: for a form whose
    own ended while somebody wrote. The same that every page carries; other sites can't read it."""
    actor = current_actor()
    return json_answer({"token": generate_csrf(), "user": f"{actor.user_id}:{actor.role}"})


routes.add("/live", view=token, guard=SIGNED_IN, limit=Limit.LIVE)
routes.add("/live/stay", view=stay, guard=SIGNED_IN)
routes.add("/live/form-token", view=form_token, guard=SIGNED_IN, limit=Limit.LIVE)
