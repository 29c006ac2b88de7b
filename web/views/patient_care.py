"""A patient's allergies and care team, changed; and the search for a colleague."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from flask import Response, render_template, request
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from models.user import Role
from services.actor import Actor
from services.allergy_create import NewAllergy, create_allergy
from services.care_team_add import add_member
from services.care_team_list import list_team
from services.care_team_remove import remove_member
from services.errors import Conflict, Forbidden, Invalid
from services.patient_acts import patient_acts
from services.patient_get import get_patient
from services.permissions import Permission
from services.staff_directory import CLINICAL, Colleague, find_staff
from web.api.patient_schemas import AllergyBody, MemberBody, RemovalBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.patient import StaffForm
from web.forms.reading import Form, read_form
from web.guards import Guard, Routes
from web.htmx import go, is_htmx, show, target
from web.runtime import runtime
from web.views.patient_page import ITEM, show_patient_page

routes = Routes("patient_care")
TEAM = f"{ITEM}/care-team"
STAFF_FOUND, FOUND = "staff-found", "patients/_staff_found.html"


def note_allergy(patient_id: uuid.UUID) -> BaseResponse:
    """Note an allergy; what is wrong with it is said where it was typed."""
    actor, form = current_actor(), read_form(AllergyBody)
    body = form.body
    try:
        with unit_of_work() as session:
            new = NewAllergy("")  # refused, once the service has said whether this is theirs to do
            if body is not None:
                new = NewAllergy(body.substance, body.reaction, body.severity, body.noted_at)
            create_allergy(session, actor, runtime().cipher, patient_id, new)
        return go(f"/patients/{patient_id}", done="allergy-created")
    except Invalid as error:
        if body is not None:
            form.refuse(error)
        return show_patient_page(patient_id, status=422, allergy_form=form)


def team(patient_id: uuid.UUID) -> Response:
    """The care team, to be changed."""
    return _team_page(patient_id)


def change_team(patient_id: uuid.UUID) -> BaseResponse:
    """Add the colleague who was chosen, or find one (``q``)."""
    if "userId" not in request.form:
        return _find(patient_id)
    actor, form = current_actor(), read_form(MemberBody, beside=("q",))
    try:
        if form.body is not None:
            with unit_of_work() as session:
                is_new = add_member(session, actor, runtime().cipher, patient_id, form.body.user_id).is_new
            return go(f"/patients/{patient_id}/care-team", done="team-changed" if is_new else "team-kept")
    except Invalid:
        pass  # said below: there is one field
    form.errors = {"userId": gettext("Choose an active doctor or nurse of the list.")}
    return _team_page(patient_id, status=422, form=form)


def remove(patient_id: uuid.UUID, user_id: uuid.UUID) -> BaseResponse:
    """Take somebody off the team; for the responsible doctor, somebody takes over."""
    actor, form = current_actor(), read_form(RemovalBody)
    if form.body is None:
        return _team_page(patient_id, status=422, form=form, leaving=str(user_id))
    named = form.body.responsible_id
    try:
        with unit_of_work() as session:
            remove_member(session, actor, runtime().cipher, patient_id, user_id, responsible_id=named)
        return go(f"/patients/{patient_id}/care-team", done="team-changed")
    except (Conflict, Invalid):
        form.errors = {"responsibleId": gettext("Name the doctor who takes over: a patient is never without one.")}
        return _team_page(patient_id, status=422, form=form, leaving=str(user_id))


def staff() -> Response:
    """Colleagues to choose from, for any form that needs one."""
    actor, form = current_actor(), read_form(StaffForm)
    wanted = form.body or StaffForm()
    roles = CLINICAL if wanted.role is None else (Role(wanted.role),)
    with unit_of_work() as session:
        found = find_staff(session, actor, wanted.q, roles=roles)
    return Response(render_template(FOUND, form=form, found=found, name=wanted.name, q=wanted.q))


def _find(patient_id: uuid.UUID) -> Response:
    form = read_form(StaffForm)
    q = "" if form.body is None else form.body.q
    if not is_htmx() or target() != STAFF_FOUND:
        return _team_page(patient_id, form=form, q=q)
    actor = current_actor()
    with unit_of_work() as session:  # the list alone: while a name is typed, the patient is not read again
        _may_change(session, actor, patient_id)
        found = find_staff(session, actor, q, but_not=[actor.user_id])
    return show("patients/team.html", {STAFF_FOUND: FOUND}, form=form, found=found, name="userId", q=q)


def _may_change(session: Session, actor: Actor, patient_id: uuid.UUID) -> None:
    if not patient_acts(session, actor, patient_id).change_team:
        raise Forbidden("Only a doctor of the care team, or reception, changes it.")


def _team_page(
    patient_id: uuid.UUID, *, status: int = 200, form: Form[Any] | None = None, q: str = "", leaving: str | None = None
) -> Response:
    here, actor = runtime(), current_actor()
    with unit_of_work() as session:
        _may_change(session, actor, patient_id)
        found: list[Colleague] = find_staff(session, actor, q, but_not=[actor.user_id])
        doctors = find_staff(session, actor, roles=[Role.DOCTOR], but_not=[actor.user_id], limit=200)
    context = {"form": form or Form(), "found": found, "name": "userId", "q": q}
    patient = orjson.loads(get_patient(here.databases, actor, here.cipher, patient_id).data)
    members = orjson.loads(list_team(here.databases, actor, patient_id))
    return show(
        "patients/team.html", {STAFF_FOUND: FOUND}, status=status, patient=patient, members=members,
        me=str(actor.user_id), doctors=doctors, leaving=leaving, **context,
    )  # fmt: skip


CHANGE = Guard(Permission.CARE_TEAM_WRITE)

routes.add(f"{ITEM}/allergies", view=note_allergy, guard=Guard(Permission.ALLERGY_WRITE), methods=["POST"])
routes.add(TEAM, view=team, guard=CHANGE)
routes.add(TEAM, view=change_team, guard=CHANGE, methods=["POST"])
routes.add(f"{TEAM}/<uuid:user_id>/remove", view=remove, guard=CHANGE, methods=["POST"])
routes.add("/staff", view=staff, guard=Guard(Permission.VISIT_WRITE), methods=["POST"])
