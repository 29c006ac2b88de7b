"""``/access-alerts``: what the rules found in the trail, and the review that is owed for each."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from flask import Response, request
from pydantic import Field, StringConstraints

from services.access_alert_get import get_alert, list_what_happened
from services.access_alert_list import State, list_alerts
from services.access_alert_review import NOTE_MAX, AlertVerdict, review_alert
from services.errors import Invalid
from services.permissions import Permission
from web.api.schemas import ApiModel
from web.authentication import current_actor
from web.database import auditor_work
from web.forms.reading import Form, read_form
from web.guards import Guard, Routes
from web.htmx import go, show
from web.runtime import runtime
from web.views.audit_filters import address

routes = Routes("access_alerts")
LIST = "/access-alerts"
ALERT = f"{LIST}/<uuid:alert_id>"


class ReviewBody(ApiModel):
    """What a reviewer decides of what they saw, and why."""

    verdict: Annotated[AlertVerdict, Field(strict=False)]
    note: Annotated[str, StringConstraints(max_length=NOTE_MAX)] | None = None
    count: Annotated[int, Field(ge=1)]


def listed() -> Response:
    """Those that await a review; the others by choice."""
    wanted = request.args.get("state", State.OPEN.value)
    state = State(wanted) if wanted in set(State) else State.OPEN
    found = list_alerts(runtime().databases, current_actor(), state, cursor=request.args.get("cursor"))
    return show(
        "access_alerts/list.html",
        {"alerts": "access_alerts/_alerts.html", "alerts-more": "access_alerts/_rows.html"},
        found=found, state=state, states=list(State), is_continued="cursor" in request.args,
    )  # fmt: skip


def one(alert_id: uuid.UUID) -> Response:
    return _one(alert_id, Form(values={}))


def review(alert_id: uuid.UUID) -> Any:
    """Take a reviewer's verdict."""
    form = read_form(ReviewBody)
    if form.body is not None:
        try:
            with auditor_work() as session:
                review_alert(
                    session, current_actor(), runtime().cipher, alert_id, verdict=form.body.verdict,
                    note=form.body.note, count=form.body.count,
                )  # fmt: skip
        except Invalid as error:
            form.refuse(error)
        else:
            return go(f"{LIST}/{alert_id}", done="access-reviewed")
    return _one(alert_id, form, status=422)


def _one(alert_id: uuid.UUID, form: Form[Any], status: int = 200) -> Response:
    here, actor = runtime(), current_actor()
    alert = get_alert(here.databases, actor, alert_id)
    events = list_what_happened(here.databases, here.cipher, actor, alert)

    def trail_of(patient_id: str | None) -> str:
        """The trail of that person on those days, about one patient or all."""
        first, last = (
            datetime.fromisoformat(alert[name]).astimezone(here.settings.timezone).date().isoformat()
            for name in ("startedAt", "lastAt")
        )
        return address({"actorId": alert["userId"], "from": first, "to": last}, patientId=patient_id)

    return show(
        "access_alerts/one.html", status=status, alert=alert, events=events, form=form, verdicts=list(AlertVerdict),
        trail=trail_of(alert["patientId"]), trail_of=trail_of,
    )  # fmt: skip


READ, REVIEW = Guard(Permission.ALERT_READ), Guard(Permission.ALERT_REVIEW)

routes.add(LIST, view=listed, guard=READ)
routes.add(ALERT, view=one, guard=READ)
routes.add(f"{ALERT}/review", view=review, guard=REVIEW, methods=["POST"])
