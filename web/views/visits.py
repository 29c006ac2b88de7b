"""Checking in, triage, calling and closing, from the pages."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from flask import Response, make_response, render_template

from models.user import Role
from services.access import find_patient
from services.ai_get import Asked
from services.allergy_list import list_allergies
from services.care_team_add import add_member
from services.errors import Conflict, Invalid
from services.identifier_check import normalize
from services.patient_get import get_patient
from services.patient_list import PatientSearch, search_patients
from services.permissions import Permission
from services.staff_directory import Colleague, find_staff
from services.visit_call import call_visit
from services.visit_close import close_visit
from services.visit_create import NewVisit, create_visit, require_desk
from services.visit_fields import OPEN
from services.visit_get import get_visit
from services.visit_triage import Triage, triage_visit
from web.api.visit_schemas import CloseBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import WHOLE, Form, filled, read_form
from web.forms.sentences import said
from web.forms.visits import CheckIn, DeskCheckIn, Measured, Search, TriageForm
from web.guards import Guard, Routes
from web.htmx import go, is_htmx, refresh, show, show_again
from web.runtime import runtime
from web.views.ai_card import ACT, CARDS, PRIORITY, ai_card, helped_by, id_or_none
from web.views.worklist import show_start

FOUND_MAX = 20
BESIDE = ("question", "helpedBy")  # of the triage form: see web/views/ai_card.py

routes = Routes("visits_pages")
STAFF_MAX = 500  # a clinic's doctors, or its nurses, in one list


def find() -> Response:
    """Who is it that arrived? An empty box, and the way to register somebody new."""
    return show("visits/find.html", form=Form(), found=None)


def found() -> Response:
    """Patients by name, CPF or CNS, each with the way to check them in. A POST: a name never stands in a URL."""
    here, actor = runtime(), current_actor()
    form = read_form(Search)
    page = None
    if form.body is not None:
        try:
            page = search_patients(here.databases, actor, here.cipher, _search_for(form.body.q), limit=FOUND_MAX)
        except Invalid as error:
            form.errors["q"] = said(error.errors[0].message) if error.errors else said(error.detail)
    patients = None if page is None else orjson.loads(page.data)
    return show(
        "visits/find.html", {"found": "visits/_found.html"}, status=200 if page is not None else 422,
        form=form, found=patients, is_cut=page is not None and page.next_cursor is not None,
    )  # fmt: skip


def _search_for(q: str) -> PatientSearch:
    """Digits alone are a number, right or wrong; anything else is a name."""
    if any(character.isalpha() for character in q):
        return PatientSearch(q=q)
    digits = sum(character.isdigit() for character in q)
    if digits == 0:
        return PatientSearch(q=q)
    return PatientSearch(cns=q) if digits > 11 or normalize("cns", q) else PatientSearch(cpf=q)


def check_in_form(patient_id: uuid.UUID) -> Response:
    return _check_in_page(patient_id, filled({"priority": "NORMAL"}))


def check_in(patient_id: uuid.UUID) -> Any:
    actor, cipher = current_actor(), runtime().cipher
    form: Form[Any] = read_form(DeskCheckIn if actor.role is Role.RECEPTION else CheckIn)
    body = form.body
    if body is None:
        return _check_in_page(patient_id, form, 422)
    nurse_id = body.nurse_id if isinstance(body, DeskCheckIn) else None
    try:
        with unit_of_work() as session:
            create_visit(session, actor, cipher, NewVisit(patient_id, body.reason, body.priority, body.doctor_id))
            if nurse_id is not None:
                _add_nurse(session, patient_id, nurse_id)
    except Invalid as error:
        form.refuse(error)
        return _check_in_page(patient_id, form, 422)
    except Conflict as error:
        form.errors[WHOLE] = said(error.detail)
        return _check_in_page(patient_id, form, 409)
    return go("/", done="visit-created")


def _add_nurse(session: Any, patient_id: uuid.UUID, nurse_id: uuid.UUID) -> None:
    actor = current_actor()
    if nurse_id not in {nurse.id for nurse in _staff(session, Role.NURSE)}:
        raise Invalid.at("/nurseId", "the id of an active nurse")
    add_member(session, actor, runtime().cipher, patient_id, nurse_id)


def _staff(session: Any, role: Role) -> list[Colleague]:
    return find_staff(session, current_actor(), roles=[role], limit=STAFF_MAX)


def _check_in_page(patient_id: uuid.UUID, form: Form[Any], status: int = 200) -> Response:
    here, actor = runtime(), current_actor()
    nurses: list[tuple[str, str]] = []
    with unit_of_work() as session:
        require_desk(actor, find_patient(session, actor, patient_id)[1])
        doctors = _options(_staff(session, Role.DOCTOR))
        if actor.role is Role.RECEPTION:
            nurses = _options(_staff(session, Role.NURSE))
    patient = orjson.loads(get_patient(here.databases, actor, here.cipher, patient_id).data)
    return show(
        "visits/check_in.html", status=status, patient=patient, form=form, doctors=doctors, nurses=nurses,
        may_name_nurse=actor.role is Role.RECEPTION,
    )  # fmt: skip


def _options(people: list[Colleague]) -> list[tuple[str, str]]:
    """For a list to choose from: id, and a name with the council number that tells two of one name apart."""
    return [(str(each.id), f"{each.name} · {each.council}" if each.council else each.name) for each in people]


def call(visit_id: uuid.UUID) -> Any:
    """Call a patient in, and go on to the record that opens with it."""
    try:
        with unit_of_work() as session:
            called = call_visit(session, current_actor(), runtime().cipher, visit_id)
            record_id = called.record.record.id
    except Conflict as error:
        return _too_late(error)
    return go(f"/medical-records/{record_id}/edit", done="visit-called")


def close(visit_id: uuid.UUID) -> Any:
    """DONE or LEFT, by the button that was pressed."""
    form = read_form(CloseBody, beside=("show",))
    try:
        if form.body is None:
            raise Invalid.at("/status", "one of DONE, LEFT")
        with unit_of_work() as session:
            close_visit(session, current_actor(), runtime().cipher, visit_id, status=form.body.status)
    except Conflict as error:
        return _too_late(error)
    return go("/", done="visit-closed")


def _too_late(error: Conflict) -> Response:
    """Somebody was quicker: say so, over a list that is up to date."""
    refused = said(error.detail)
    if not is_htmx():
        page: Response = show_start(refused=refused, status=409)
        return page
    answer = make_response(render_template("worklist/_refused.html", refused=refused), 409)
    return refresh(show_again(answer, into="problems"))


def triage_form(visit_id: uuid.UUID) -> Response:
    return triage_page(visit_id, None)


def triage(visit_id: uuid.UUID) -> Any:
    form = read_form(TriageForm, beside=BESIDE)
    if form.body is None:
        return triage_page(visit_id, form, 422)
    noted = Triage(form.body.priority, form.body.signs(), form.body.notes)
    try:
        with unit_of_work() as session:
            triage_visit(session, current_actor(), runtime().cipher, visit_id, noted, helped_by=helped_by(form))
    except Invalid as error:
        form.refuse(error)
        return triage_page(visit_id, form, 422)
    except Conflict as error:
        return _too_late(error)
    return go("/", done="triage-saved")


def triage_page(
    visit_id: uuid.UUID, form: Form[Any] | None, status: int = 200, *, ai_problem: str | None = None
) -> Response:
    """``form``: what was typed; None for the first time, when the visit's own priority stands in it. ``ai_problem``:
    why the local model could not be asked."""
    here, actor = runtime(), current_actor()
    visit = get_visit(here.databases, actor, visit_id)
    patient_id = uuid.UUID(visit["patientId"])
    with unit_of_work() as session:
        require_desk(actor, find_patient(session, actor, patient_id, inactive="show")[1])
    if visit["status"] not in OPEN:
        raise Conflict("This visit is closed already.")
    allergies = orjson.loads(list_allergies(here.databases, actor, patient_id).data)
    form = form or filled({"priority": visit["priority"]})
    card = ai_card(
        PRIORITY, id_or_none(form.values.get("question")), patient_id, now=_asked_about(visit, form), problem=ai_problem
    )
    return show(
        "visits/triage.html", dict([CARDS[PRIORITY]]), status=status, visit=visit,
        allergies=allergies, form=form, card=card,
    )  # fmt: skip


def _asked_about(visit: dict[str, Any], form: Form[Any]) -> Asked | None:
    """What a question would be about by now; None while what is typed is no vital signs."""
    measured = read_form(Measured, beside=(*BESIDE, "priority", ACT), given=form.values).body
    if measured is None:
        return None
    text = "\n".join(part for part in (visit["reason"], measured.notes) if part)
    return Asked(text, measured.signs().texts())


DESK, TRIAGE = Guard(Permission.VISIT_WRITE), Guard(Permission.RECORD_CREATE)
NEW, ITEM = "/visits/new", "/visits/<uuid:visit_id>"

routes.add(NEW, view=find, guard=DESK)
routes.add(NEW, view=found, guard=DESK, methods=["POST"])
routes.add(f"{NEW}/<uuid:patient_id>", view=check_in_form, guard=DESK)
routes.add(f"{NEW}/<uuid:patient_id>", view=check_in, guard=DESK, methods=["POST"])
routes.add(f"{ITEM}/call", view=call, guard=Guard(Permission.VISIT_CALL), methods=["POST"])
routes.add(f"{ITEM}/close", view=close, guard=DESK, methods=["POST"])
routes.add(f"{ITEM}/triage", view=triage_form, guard=TRIAGE)
routes.add(f"{ITEM}/triage", view=triage, guard=TRIAGE, methods=["POST"])
