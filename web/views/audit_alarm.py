"""``/audit/alarm``: the trail was found not intact, and an auditor takes note of it."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import StringConstraints
from werkzeug.wrappers import Response as BaseResponse

from services.audit_findings import NO_ALARM, NOTE_MAX, list_findings, open_alarm, take_note
from services.errors import Invalid, NotFound
from services.permissions import Permission
from web.api.schemas import ApiModel
from web.authentication import current_actor
from web.database import auditor_work, unit_of_work
from web.forms.reading import Form, read_form
from web.guards import Guard, Routes
from web.htmx import go, show

routes = Routes("audit_alarm")
ALARM = "/audit/alarm"


class NoteBody(ApiModel):
    """What an auditor says that it was."""

    note: Annotated[str, StringConstraints(max_length=NOTE_MAX)] = ""


def alarm() -> Response:
    return _page(Form(values={}))


def note() -> BaseResponse:
    form = read_form(NoteBody)
    if form.body is not None:
        try:
            with auditor_work() as session:
                take_note(session, current_actor(), note=form.body.note)
        except Invalid as error:
            form.refuse(error)
        else:
            return go("/", done="alarm-noted")
    return _page(form)


def _page(form: Form[Any]) -> Response:
    with unit_of_work() as session:
        found, findings = open_alarm(session), list_findings(session)
    if found is None:
        raise NotFound(NO_ALARM)
    return show("audit/alarm.html", status=422 if form.errors else 200, alarm=found, findings=findings, form=form)


GUARD = Guard(Permission.ALERT_REVIEW)
routes.add(ALARM, view=alarm, guard=GUARD)
routes.add(ALARM, view=note, guard=GUARD, methods=["POST"])
