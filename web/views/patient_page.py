"""``/patients/<id>``: who they are, what they must not be given, what happened, and who treats them."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from flask import Response, request
from flask_babel import gettext
from werkzeug.wrappers import Response as BaseResponse

from models.user import Role
from services.ai_refusal import standing_refusal
from services.allergy_list import list_allergies
from services.care_team_list import list_team
from services.errors import Conflict, Invalid, StaleVersion
from services.patient_acts import patient_acts
from services.patient_get import get_patient
from services.patient_inactivate import inactivate_patient, restore_patient
from services.patient_timeline import read_timeline
from services.permissions import Permission
from web.api.schemas import ReasonBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.patient import InactivationForm
from web.forms.reading import WHOLE, Form, read_form
from web.guards import Guard, Routes
from web.htmx import go, show
from web.live_token import watch_patient
from web.runtime import runtime
from web.views.ai_summary import summary_card

routes = Routes("patient_page")
ITEM = "/patients/<uuid:patient_id>"


def page(patient_id: uuid.UUID) -> BaseResponse:
    """The whole page. A patient is led to their own."""
    actor = current_actor()
    if actor.role is Role.PATIENT:
        # Somebody else's does not exist for them, and that they asked is in the trail.
        get_patient(runtime().databases, actor, runtime().cipher, patient_id)
        return go("/me")
    return show_patient_page(patient_id)


def show_patient_page(patient_id: uuid.UUID, *, status: int = 200, **forms: Form[Any]) -> Response:
    """The page with ``forms`` (allergy_form, reason_form) as they came in, or empty ones. 410 when inactive.

    Opening it is in the trail as what it is: ``patient.read``, ``allergy.list``, ``care_team.list``,
    ``medical_record.list`` and ``visit.list``, the lists with the rows that were shown.
    """
    here, actor = runtime(), current_actor()
    watch_patient(patient_id)
    shown = get_patient(here.databases, actor, here.cipher, patient_id, include_deleted=True)
    patient = orjson.loads(shown.data)
    with unit_of_work() as session:
        acts = patient_acts(session, actor, patient_id)
    context: dict[str, Any] = {"patient": patient, "acts": acts, "allergy_form": Form(), "reason_form": Form(), **forms}
    if patient["deletedAt"] is not None:
        return show("patients/gone.html", status=410 if status == 200 else status, **context)
    allergies = list_allergies(here.databases, actor, patient_id)
    if actor.may(Permission.AI_USE):
        context |= summary_card(patient_id)
    elif actor.may(Permission.AI_REFUSE):
        with unit_of_work() as session:
            context["ai_refusal"] = standing_refusal(session, patient_id)
    return show(
        "patients/patient.html", {"allergies": "patients/_allergies.html"}, status=status,
        allergies=orjson.loads(allergies.data), allergies_privacy=orjson.loads(allergies.privacy),
        team=orjson.loads(list_team(here.databases, actor, patient_id)), **_timeline(patient_id), **context,
    )  # fmt: skip


def timeline(patient_id: uuid.UUID) -> Response:
    """The list anew, or its next page; a browser without scripts gets a page of it."""
    fragments = {"timeline": "patients/_timeline.html", "timeline-more": "patients/_timeline_rows.html"}
    context = _timeline(patient_id, request.args.get("cursor"))
    return show("patients/timeline.html", fragments, patient_id=str(patient_id), **context)


def _timeline(patient_id: uuid.UUID, cursor: str | None = None) -> dict[str, Any]:
    found = read_timeline(runtime().databases, current_actor(), patient_id, cursor=cursor)
    return {"entries": orjson.loads(found.data), "timeline_cursor": found.next_cursor, "is_continued": bool(cursor)}


def inactivate(patient_id: uuid.UUID) -> BaseResponse:
    """Inactivate somebody registered by mistake."""
    actor, form = current_actor(), read_form(InactivationForm)
    # A form that can't be read goes on without its reason: the service says first whether this is theirs to do.
    reason, version = (None, None) if form.body is None else (form.body.reason, form.body.version)
    try:
        with unit_of_work() as session:
            inactivate_patient(session, actor, runtime().cipher, patient_id, reason=reason, version=version)
        return go(f"/patients/{patient_id}", done="patient-inactivated")
    except Invalid as error:
        status = 422
        if form.body is not None:
            form.refuse(error)
    except StaleVersion:
        status = 409
        form.errors[WHOLE] = gettext("Somebody changed this patient meanwhile. Look again before inactivating.")
    except Conflict:
        status = 409
        form.errors[WHOLE] = gettext("This patient has an open visit. Close it first, then inactivate.")
    return show_patient_page(patient_id, status=status, reason_form=form)


def restore(patient_id: uuid.UUID) -> BaseResponse:
    """Make an inactive patient active again."""
    actor, form = current_actor(), read_form(ReasonBody)
    try:
        with unit_of_work() as session:
            reason = None if form.body is None else form.body.reason
            restore_patient(session, actor, runtime().cipher, patient_id, reason=reason)
        return go(f"/patients/{patient_id}", done="patient-restored")
    except Invalid as error:
        if form.body is not None:
            form.refuse(error)
        return show_patient_page(patient_id, status=422, reason_form=form)


routes.add(ITEM, view=page, guard=Guard(Permission.PATIENT_READ))
routes.add(f"{ITEM}/timeline", view=timeline, guard=Guard(Permission.PATIENT_LOOKUP))
routes.add(f"{ITEM}/inactivate", view=inactivate, guard=Guard(Permission.PATIENT_DELETE), methods=["POST"])
routes.add(f"{ITEM}/restore", view=restore, guard=Guard(Permission.PATIENT_DELETE), methods=["POST"])
