"""Registering and correcting a patient's identification, with a warning of homonyms."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from flask import Response, render_template, request
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from models.user import Role
from services.errors import DuplicateIdentifier, Forbidden, Invalid, QuotaExceeded
from services.homonym_warning import warn_of_homonyms
from services.identifier_lookup import counted_duplicates
from services.patient_acts import patient_acts
from services.patient_create import create_patient
from services.patient_get import get_patient
from services.patient_merge import PatientMerge, merge_patient, version_shown
from services.patient_update import may_update_patient, update_patient
from services.permissions import Permission
from services.staff_directory import find_staff
from services.three_way import Outcome
from web.api.patient_schemas import PatientBody, PatientChange
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.merging import OWN, THEIRS, MergeRow, are_decided, choices_of
from web.forms.patient import EDITED, PatientFormModel, as_typed, check_field, explain, touched
from web.forms.reading import WHOLE, Form, filled, read_form
from web.guards import Guard, Routes
from web.htmx import go, show
from web.runtime import runtime

routes = Routes("patient_form")
ITEM = "/patients/<uuid:patient_id>/edit"
# The page's own inputs, where two corrections meet.
BESIDE, CHOSEN = frozenset({"base", "mine", "open"}), ("choice.", "own.")
DISTINCT = "distinct"  # ids of the similar patients that were shown and are somebody else


def new() -> Response:
    """An empty form; ``?unidentified`` one that says what is known of a person nobody knows: nothing."""
    form: Form[Any] = Form()
    if "unidentified" in request.args:
        now = datetime.now(runtime().settings.timezone)
        name = gettext("Unidentified, %(moment)s", moment=now.strftime("%d/%m/%Y %H:%M"))
        form = filled({"fullName": name, "sex": "UNKNOWN"})
    return _new_page(form)


def create() -> BaseResponse:
    """Register, once similar patients have been looked at."""
    actor, cipher, form = current_actor(), runtime().cipher, read_form(PatientBody, beside=(DISTINCT,))
    if form.body is None:
        explain(form)
        return _new_page(form, status=422)
    content = form.body.sent()
    try:
        with unit_of_work() as session:
            similar = warn_of_homonyms(session, actor, cipher, content)
        if not {each["id"] for each in similar} <= set(form.values.get(DISTINCT, "").split(",")):
            return _new_page(form, status=409, similar=similar)
        with unit_of_work() as session, counted_duplicates(session, actor, content):
            patient_id = create_patient(session, actor, cipher, content).patient.id
    except Invalid as error:
        form.refuse(error)
        explain(form)
        return _new_page(form, status=422)
    except (DuplicateIdentifier, QuotaExceeded) as error:
        return _number_refused(_new_page(form, status=_say_refused(form, error)), error)
    return go(f"/patients/{patient_id}", done="patient-created")


def check() -> Response:
    """What is wrong with the one input that was just left (``_field``); nothing is looked up or kept."""
    form = read_form(PatientFormModel, beside=("_field", DISTINCT, "version"))
    name = request.form.get("_field", "")
    if name not in EDITED:
        name = "fullName"
    check_field(form, name)
    explain(form)
    return Response(render_template("patients/_field_error.html", form=form, name=name))


def edit(patient_id: uuid.UUID) -> Response:
    """The identification as it is, to be corrected."""
    here, actor = runtime(), current_actor()
    with unit_of_work() as session:
        if not patient_acts(session, actor, patient_id).edit:
            raise Forbidden("Only the patient's care team, or reception, corrects their identification.")
    shown = orjson.loads(get_patient(here.databases, actor, here.cipher, patient_id).data)
    values = {name: as_typed(shown, name) for name in EDITED} | {"version": str(shown["version"])}
    return _edit_page(patient_id, filled(values))


def update(patient_id: uuid.UUID) -> BaseResponse:
    """Save what was touched. What others saved meanwhile in other fields stays; in the same field, a person chooses."""
    choices = choices_of(request.form, _names("open"))
    if not are_decided(choices):
        return _undecided(patient_id, choices)
    form = read_form(PatientChange, given=_decided(choices))
    try:
        with unit_of_work() as session:
            merged = _save(session, patient_id, form)
    except Invalid as error:
        if form.body is not None:
            form.refuse(error)
        explain(form)
        return _edit_page(patient_id, form, status=422)
    except (DuplicateIdentifier, QuotaExceeded) as error:
        return _number_refused(_edit_page(patient_id, form, status=_say_refused(form, error)), error)
    if merged is not None and merged.has_conflicts:
        if choices:
            form.errors[WHOLE] = gettext("It was changed once more meanwhile. Look at the newest version, then choose.")
        return _conflict_page(patient_id, form, merged)
    return go(f"/patients/{patient_id}", done="patient-saved" if merged is None else "patient-merged")


def _names(which: str) -> list[str]:
    """The fields that the screen of two corrections lists under ``which``: ``open``, those that a person decides;
    ``mine``, those that the writer changed."""
    return [name for name in request.form.get(which, "").split(",") if name in EDITED]


def _decided(choices: Mapping[str, str]) -> dict[str, str]:
    """The form as if it had been filled with what was chosen. What is left out stays as it is saved."""
    given = {name: text for name, text in request.form.items() if name not in BESIDE and not name.startswith(CHOSEN)}
    for name, choice in choices.items():
        if choice == OWN:
            given[name] = request.form.get(f"own.{name}", "")
        elif choice == THEIRS:
            given.pop(name, None)
    return given


def _undecided(patient_id: uuid.UUID, choices: Mapping[str, str]) -> Response:
    """The screen again, with what was chosen so far. Raises Invalid for a form that is not this screen's."""
    actor, form = current_actor(), read_form(PatientChange, given=_decided({}))
    base, mine = request.form.get("base", ""), _names("mine")
    with unit_of_work() as session:
        access = may_update_patient(session, actor, patient_id)
        if form.body is None or not (base.isascii() and base.isdecimal() and len(base) < 10):
            raise Invalid("The form can't be told from another one. Load the page again.")
        content = {name: value for name, value in form.body.sent().items() if name in mine}
        merged = merge_patient(session, actor, runtime().cipher, access, version=int(base), content=content)
    form.errors[WHOLE] = gettext("Choose what stays of each field that both of you changed.")
    is_same = form.values.get("version") == str(merged.theirs["version"])  # else they would be about something unseen
    return _conflict_page(patient_id, form, merged, choices if is_same else None, status=422)


def _save(session: Session, patient_id: uuid.UUID, form: Form[PatientChange]) -> PatientMerge | None:
    """Save the form on top of what is there now; nothing is saved where the outcome has conflicts. None when
    nobody else had saved. Raises Invalid for a form that could not be read, once it is theirs to send."""
    actor, cipher = current_actor(), runtime().cipher
    access = may_update_patient(session, actor, patient_id)
    sent = {} if form.body is None else form.body.sent()
    version = sent.get("version")
    if version is None:
        raise Invalid("The form can't be told from another one. Load the page again.")
    fields = touched(form, version_shown(session, cipher, access, version))
    content = {name: value for name, value in sent.items() if name in fields}
    current, merged = access.patient.version, None
    if version != current:
        merged = merge_patient(session, actor, cipher, access, version=version, content=content)
        if merged.has_conflicts:
            return merged
    with counted_duplicates(session, actor, content):
        update_patient(session, actor, cipher, access, version=current, content=content)
    return merged


def _new_page(form: Form[Any], *, status: int = 200, similar: list[dict[str, Any]] | None = None) -> Response:
    actor = current_actor()
    doctors = []
    if actor.role is Role.RECEPTION:
        with unit_of_work() as session:
            doctors = find_staff(session, actor, roles=[Role.DOCTOR], limit=200)
    return show("patients/new.html", status=status, form=form, similar=similar or [], doctors=doctors)


def _edit_page(patient_id: uuid.UUID, form: Form[Any], *, status: int = 200) -> Response:
    return show("patients/edit.html", status=status, form=form, patient_id=patient_id)


def _conflict_page(
    patient_id: uuid.UUID, form: Form[Any], merged: PatientMerge, choices: Mapping[str, str] | None = None,
    status: int = 409,
) -> Response:  # fmt: skip
    """Base, mine and theirs of each field that anybody changed; nothing is chosen beforehand."""
    base, theirs = merged.base, merged.theirs
    fields = {field.name: field for field in merged.fields}
    mine = [name for name in EDITED if name in fields and fields[name].outcome is not Outcome.THEIRS]
    # What was chosen is saved on top of theirs, so there the fields that they alone changed are as theirs.
    values = {name: form.values.get(name, "") if name in mine else as_typed(theirs, name) for name in EDITED}
    rows = [
        MergeRow(
            name, fields[name].outcome, None if base is None else as_typed(base, name), values[name],
            as_typed(theirs, name), (choices or {}).get(name, ""), request.form.get(f"own.{name}", values[name]),
        )
        for name in EDITED
        if name in fields
    ]  # fmt: skip
    return show(
        "patients/conflict.html", status=status, patient_id=patient_id, form=form, rows=rows, values=values, mine=mine,
        version=theirs["version"], base_version=merged.base_version,
    )  # fmt: skip


def _say_refused(form: Form[Any], error: DuplicateIdentifier | QuotaExceeded) -> int:
    """Put into ``form`` why a CPF or CNS was not taken; gives the status that says so."""
    if isinstance(error, DuplicateIdentifier):
        form.errors[WHOLE] = gettext(
            "A patient with this CPF or CNS is registered already. Search for the number and use that registration."
        )
        return 409
    form.errors[WHOLE] = gettext(
        "You have tried numbers that others have too often for now. Leave CPF and CNS empty, or ask reception."
    )
    return 429


def _number_refused(answer: Response, error: DuplicateIdentifier | QuotaExceeded) -> Response:
    if isinstance(error, QuotaExceeded):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


REGISTER, CORRECT = Guard(Permission.PATIENT_CREATE), Guard(Permission.PATIENT_UPDATE)

routes.add("/patients/new", view=new, guard=REGISTER)
routes.add("/patients/new", view=create, guard=REGISTER, methods=["POST"])
routes.add("/patients/check", view=check, guard=REGISTER, methods=["POST"])
routes.add(ITEM, view=edit, guard=CORRECT)
routes.add(ITEM, view=update, guard=CORRECT, methods=["POST"])
