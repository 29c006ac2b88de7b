"""CID-10 codes suggested for the diagnosis that is being written, inside the form of a record.

A script asks for the card alone. Without one the whole form is sent and shown again, with nothing of it lost.
"""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_babel import gettext

from models import MedicalRecord
from services.ai_get import Asked
from services.ai_request import ask_codes
from services.errors import Conflict
from services.permissions import Permission
from services.record_update import may_update
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import BETWEEN, Form
from web.guards import Guard, Routes
from web.htmx import is_htmx, show
from web.runtime import runtime
from web.views.ai_card import CODES, Pressed, ai_card, id_or_none, name_help, press, typed_form
from web.views.record_form import edit_page, show_edit, show_new
from web.views.record_form_page import FRAGMENTS, PAGE, require_same_writer, to_id

routes = Routes("ai_codes")


def suggest() -> Response:
    """Whatever a button of the card asks for."""
    require_same_writer()
    here, actor, form = runtime(), current_actor(), typed_form()
    edited, diagnosis = _edited(form), form.values.get("diagnosis", "")
    patient_id = id_or_none(form.values.get("patientId")) if edited is None else edited.patient_id

    def ask(session: Any) -> Any:
        if patient_id is None:
            raise Conflict(gettext("Choose the patient first."))
        if not diagnosis.strip():
            raise Conflict(gettext("Write the diagnosis first."))
        return ask_codes(session, actor, here.settings, here.cipher, patient_id, diagnosis, edited=edited)

    pressed = press(id_or_none(form.values.get("question")), ask)
    form.values["question"] = str(pressed.question_id or "")
    if pressed.taken is not None and pressed.question_id is not None:
        codes = [code for code in BETWEEN.split(form.values.get("cid10Codes", "")) if code]
        form.values["cid10Codes"] = ", ".join(dict.fromkeys([*codes, pressed.taken]))
        name_help(form, pressed.question_id)
    if is_htmx():
        now = Asked(diagnosis, {})
        card = ai_card(CODES, pressed.question_id, patient_id, now=now, problem=pressed.problem)
        return show(PAGE, FRAGMENTS, status=pressed.status, card=card, form=form)
    return _whole(form, pressed)


def _edited(form: Form[Any]) -> MedicalRecord | None:
    """The record that the form is of, None of a new one; reading whose it is shows nothing."""
    record_id = form.values.get("recordId")
    if not record_id:
        return None
    with unit_of_work() as session:
        return may_update(session, current_actor(), to_id(record_id), lock=False).record


def _whole(form: Form[Any], pressed: Pressed) -> Response:
    record_id = form.values.get("recordId")
    if not record_id:
        return show_new(form, pressed.status, ai_problem=pressed.problem)
    page = edit_page(to_id(record_id), form)
    page.ai_problem = pressed.problem
    return show_edit(page, pressed.status)


routes.add("/ai/codes", view=suggest, methods=["POST"], guard=Guard(Permission.AI_USE))
