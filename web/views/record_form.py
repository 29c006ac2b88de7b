"""Writing a record: new, edit, the check of one field, and choosing whom it is about."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from flask import Response, make_response, render_template, request

from services.cid10_warnings import code_warnings
from services.errors import Invalid, NotFound, StaleVersion
from services.patient_list import PatientSearch, search_patients
from services.permissions import Permission
from services.record_create import NewRecord, may_create
from services.record_edit import edit_record
from services.record_fields import CONTENT
from services.record_submit import AlreadySaved, submit_record
from services.record_text import typed
from services.record_update import may_update, writable_fields
from services.record_versions import get_version
from services.record_write import check_content
from web.api.record_schemas import RecordBody, RecordChange
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, read_form
from web.guards import Guard, Routes
from web.htmx import go, show
from web.runtime import runtime
from web.views.ai_card import helped_by, id_or_none
from web.views.cid10 import patient_facts
from web.views.record_conflict import show_conflict, submit_merged
from web.views.record_form_page import (
    BESIDE,
    RecordForm,
    about_patient,
    about_record,
    asked_id,
    continued_draft,
    form_id,
    offer_drafts,
    require_same_writer,
    saved_before,
    show_form,
    show_patient,
    take_draft,
    to_id,
)

routes = Routes("record_form")
NEW, EDIT = "/medical-records/new", "/medical-records/<uuid:record_id>/edit"
MERGE_INPUTS = ("theirs", "act", *(f"{kind}.{name}" for kind in ("choice", "own") for name in CONTENT))
NOT_CONTENT = ("patient_id", "visit_id", "amends_id", "version", "reason")
SEARCH_MIN = 2  # letters of a name before anybody is looked for
SEARCH_MOST = 12


def new() -> Response:
    """The empty form, or the draft that the address names."""
    draft = continued_draft()
    form: Form[RecordBody] = Form(values={"priority": "NORMAL"})
    for name in ("patientId", "visitId", "amendsId"):
        asked = asked_id(name)
        if asked is not None:
            form.values[name] = str(asked)
    if draft is not None:
        given = {"patientId": draft.patient_id, "visitId": draft.visit_id, "amendsId": draft.amends_id}
        form.values |= {name: str(value) for name, value in given.items() if value is not None}
        take_draft(form, draft)
    return show_new(form)


def create() -> Any:
    """Save the record, or show the form again with what is wrong."""
    require_same_writer()
    actor, cipher = current_actor(), runtime().cipher
    form = read_form(RecordBody, beside=BESIDE)
    if form.body is None:
        return show_new(form, 422)
    body = form.body
    record = NewRecord(
        patient_id=body.patient_id,
        content=body.sent(without=NOT_CONTENT),
        visit_id=body.visit_id,
        amends_id=body.amends_id,
    )
    try:
        with unit_of_work() as session:
            record_id = submit_record(
                session, actor, cipher, record, form_id=form_id(form), helped_by=helped_by(form)
            )
    except AlreadySaved as error:
        form.errors[""] = saved_before()
        form.values["savedAs"] = str(error.record_id)
        return show_new(form, 409)
    except Invalid as error:
        form.refuse(error)
        return show_new(form, 422)
    return go(f"/medical-records/{record_id}", done="addendum-created" if body.amends_id else "record-created")


def show_new(form: Form[RecordBody], status: int = 200, *, ai_problem: str | None = None) -> Response:
    """The form of a new record as it was typed. Raises Forbidden, NotFound, Gone."""
    amends_id = form.values.get("amendsId")
    mode = "addendum" if amends_id else "new"
    page = RecordForm(mode=mode, action=NEW, form=form, writable=tuple(CONTENT), ai_problem=ai_problem)
    patient_id = id_or_none(form.values.get("patientId"))
    if amends_id:
        page.writable = tuple(name for name in CONTENT if name != "kind")
        patient_id = uuid.UUID(about_record(page, to_id(amends_id))["patientId"])
        form.values["patientId"] = str(patient_id)
    if patient_id is not None:
        with unit_of_work() as session:
            may_create(session, current_actor(), patient_id, is_addendum=bool(amends_id))
    about_patient(page, patient_id)
    offer_drafts(page, patient_id=patient_id, amends_id=id_or_none(amends_id))
    return show_form(page, status)


def edit(record_id: uuid.UUID) -> Response:
    """The record as it is, or as a draft of it has it: then over the version the draft began from."""
    page = edit_page(record_id, Form())
    draft = continued_draft()
    shown: dict[str, Any] = page.record or {}
    if draft is not None:
        if draft.record_id != record_id or draft.base_version is None:
            raise NotFound("There is nothing at this address.")
        shown = _base(record_id, draft.base_version)
    page.form.values |= typed(shown, runtime().settings.timezone) | {"version": str(shown["version"])}
    if draft is not None:
        take_draft(page.form, draft)
    return show_edit(page)


def update(record_id: uuid.UUID) -> Any:
    """Save what was changed; merge where somebody else was quicker."""
    require_same_writer()
    actor, cipher, zone = current_actor(), runtime().cipher, runtime().settings.timezone
    form = read_form(RecordChange, beside=BESIDE)
    if form.body is None or form.body.version is None:
        return show_edit(edit_page(record_id, form), 422)
    body = form.body
    try:
        with unit_of_work() as session:
            edit_record(
                session, actor, cipher, record_id,
                version=body.version, texts=form.values, content=body.sent(without=NOT_CONTENT), reason=body.reason,
                zone=zone, form_id=form_id(form), helped_by=helped_by(form),
            )  # fmt: skip
    except StaleVersion as error:
        return show_conflict(edit_page(record_id, form), _base(record_id, body.version), error.current_version)
    except Invalid as error:
        form.refuse(error)
        return show_edit(edit_page(record_id, form), 422)
    return go(f"/medical-records/{record_id}", done="record-saved")


def merge(record_id: uuid.UUID) -> Any:
    """Save what was decided on the screen that merges two edits."""
    require_same_writer()
    form = read_form(RecordChange, beside=(*BESIDE, *MERGE_INPUTS))
    page = edit_page(record_id, form)
    if form.body is None or form.body.version is None:
        return show_edit(page, 422)
    if request.form.get("act") == "edit":
        return show_edit(page)
    return submit_merged(page, _base(record_id, form.body.version))


def edit_page(record_id: uuid.UUID, form: Form[RecordChange]) -> RecordForm:
    """The form of an edit as it was typed. Raises Forbidden, NotFound, Gone."""
    with unit_of_work() as session:
        writable = writable_fields(current_actor(), may_update(session, current_actor(), record_id, lock=False))
    page = RecordForm(mode="edit", action=f"/medical-records/{record_id}/edit", form=form, writable=writable)
    shown = about_record(page, record_id)
    page.needs_reason = shown["status"] == "CLOSED"
    about_patient(page, uuid.UUID(shown["patientId"]))
    return page


def show_edit(page: RecordForm, status: int = 200) -> Response:
    assert page.record is not None  # noqa: S101  (an edit is of a record)
    offer_drafts(page, record_id=uuid.UUID(page.record["id"]))
    return show_form(page, status)


def _base(record_id: uuid.UUID, version: int) -> dict[str, Any]:
    """The version that an edit began from, as its writer sees it today."""
    with unit_of_work() as session:
        may_update(session, current_actor(), record_id, lock=False)
        return get_version(session, current_actor(), record_id, version)


def chosen() -> Response:
    """The patient that was chosen in the form, beside it; nobody when the choice was taken back."""
    form: Form[RecordBody] = Form(values={"draftId": request.form.get("draftId", "")})
    page = RecordForm(mode="new", action=NEW, form=form, writable=())
    patient_id = id_or_none(request.form.get("patientId"))
    if patient_id is not None:
        with unit_of_work() as session:
            may_create(session, current_actor(), patient_id, is_addendum=False)
        show_patient(page, patient_id)
    offer_drafts(page, patient_id=patient_id)
    answer = make_response(render_template("record_form/_patient.html", page=page, form=form))
    answer.headers["HX-Trigger"] = "sigilo:patient-chosen"  # the codes are looked at for this patient now
    return answer


def check() -> Response:
    """The message under one field, as saving would find it; empty when the field is fine."""
    name = request.form.get("_field", "")
    if name not in (*CONTENT, "reason"):
        raise NotFound("There is nothing at this address.")
    form = read_form(RecordChange, given={name: request.form.get(name, "")})
    if form.body is not None:
        try:
            check_content(form.body.sent(without=NOT_CONTENT))
        except Invalid as error:
            form.refuse(error)
    if name == "cid10Codes":
        return _codes_notes(form)
    return make_response(render_template("record_form/_message.html", form=form, name=name))


def _codes_notes(form: Form[RecordChange]) -> Response:
    """What is wrong with the codes, or what is odd about them for the patient that the page shows beside the form."""
    codes = form.body.cid10_codes if form.body is not None and not form.errors else None
    with unit_of_work() as session:
        warnings = code_warnings(session, codes or [], **patient_facts())
    return make_response(render_template("record_form/_codes_notes.html", form=form, warnings=warnings))


def patient_search() -> Response:
    """Look for the patient by name: as a page of its own, or as the options of the form's combobox."""
    return _show_found(None)


def find_patients() -> Response:
    q = request.form.get("q", "").strip()
    if len(q) < SEARCH_MIN:
        return _show_found(None)
    here = runtime()
    page = search_patients(here.databases, current_actor(), here.cipher, PatientSearch(q=q), limit=SEARCH_MOST)
    return _show_found(orjson.loads(page.data))


def _show_found(found: list[dict[str, Any]] | None) -> Response:
    fragments = {"patient-options": "record_form/_options.html"}
    return show("record_form/patient_search.html", fragments, found=found, q=request.form.get("q", ""))


CREATE, UPDATE = Guard(Permission.RECORD_CREATE), Guard(Permission.RECORD_UPDATE)

routes.add(NEW, view=new, guard=CREATE)
routes.add(NEW, view=create, methods=["POST"], guard=CREATE)
routes.add(f"{NEW}/patient", view=patient_search, guard=CREATE)
routes.add(f"{NEW}/patient", view=find_patients, methods=["POST"], guard=CREATE)
routes.add(f"{NEW}/chosen", view=chosen, methods=["POST"], guard=CREATE)
routes.add("/medical-records/check", view=check, methods=["POST"], guard=UPDATE)
routes.add(EDIT, view=edit, guard=UPDATE)
routes.add(EDIT, view=update, methods=["POST"], guard=UPDATE)
routes.add("/medical-records/<uuid:record_id>/merge", view=merge, methods=["POST"], guard=UPDATE)
