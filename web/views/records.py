"""``/medical-records``: the list, one record, its versions; closing, inactivating, printing."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response
from flask_babel import gettext
from pydantic import Field

from models.base import VERSION_MAX
from observability.metrics import MASKS
from services.actor import Actor
from services.allergy_list import list_allergies
from services.care_team_list import list_team
from services.errors import Forbidden, Gone, Invalid, NotFound
from services.masking import Visibility, role_relation, visibility
from services.patient_get import get_patient
from services.patient_names import name_patients
from services.permissions import Permission
from services.record_actions import RecordActions, record_actions
from services.record_close import close_record
from services.record_compare import compare_versions
from services.record_get import get_record
from services.record_inactivate import inactivate_record, restore_record
from services.record_list import LIMIT_MAX, RecordFilters, list_records, search_records
from services.record_print import print_record
from services.record_versions import list_versions
from services.visit_get import get_visit
from web.api.record_schemas import IncludeDeleted
from web.api.schemas import ApiModel, ReasonBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, filled, read_form
from web.forms.record_find import RecordFind, RecordSearchForm
from web.guards import Guard, Routes
from web.htmx import go, show
from web.live_token import watch_patient
from web.request_body import read_query
from web.runtime import runtime

routes = Routes("records_pages")
LIST = "/medical-records"
ITEM = f"{LIST}/<uuid:record_id>"
PAGE = 20
LIST_PARTS = {"records": "medical_records/_results.html", "more": "medical_records/_rows.html"}

Shown = dict[str, Any]


class RecordQuery(IncludeDeleted):
    """What a record's address may say; ``done`` names the toast of the act that led here."""

    done: str | None = None


class ActForm(ReasonBody):
    """Why a record is inactivated or restored, and the version that whoever says so has seen."""

    version: int | None = Field(default=None, ge=1, le=VERSION_MAX)


class CompareQuery(ApiModel):
    """Which two versions; the newest and the one before when left out."""

    start: int | None = Field(default=None, alias="from", ge=1, le=VERSION_MAX)
    end: int | None = Field(default=None, alias="to", ge=1, le=VERSION_MAX)


# The list


def list_page() -> Response:
    """Newest first; filters may stand in the address."""
    find = read_query(RecordFind)
    return _list(find, filled(find.values()))


def find() -> Response:
    """The same by the form, which may hold words."""
    form = read_form(RecordSearchForm)
    if form.body is None:
        return show(
            "medical_records/list.html", LIST_PARTS, status=422, form=form, find=RecordFind(), records=None, names={},
            next_cursor=None, **_reader(),
        )  # fmt: skip
    return _list(form.body, form)


def _list(find: RecordFind, form: Form[Any]) -> Response:
    here, actor = runtime(), current_actor()
    search = list_records if find.words is None else search_records
    page = search(here.databases, actor, find.filters(), limit=PAGE, cursor=find.cursor)
    records = orjson.loads(page.data)
    of_one = [] if find.patient_id is None else [str(find.patient_id)]
    names = name_patients(here.databases, actor, [*of_one, *(record["patientId"] for record in records)])
    return show(
        "medical_records/list.html", LIST_PARTS, form=form, find=find, records=records, names=names,
        next_cursor=page.next_cursor, **_reader(),
    )  # fmt: skip


def _reader() -> Shown:
    """What the list offers its reader. Words find nothing where titles are masked, for finding would tell them."""
    actor = current_actor()
    sees_titles = visibility("record", "title", role_relation(actor.role, in_team=False)) is Visibility.CLEAR
    return {"actor": actor, "can_search": sees_titles, "can_write": actor.may(Permission.RECORD_CREATE)}


# One record


def record_page(record_id: uuid.UUID) -> Response:
    query = read_query(RecordQuery)
    here, actor = runtime(), current_actor()
    try:
        found = get_record(here.databases, actor, record_id, include_deleted=query.include_deleted)
    except Gone:
        actions = _actions(record_id)
        return show(
            "medical_records/inactive.html", status=410, record_id=record_id, actions=actions, form=_act_form(actions)
        )
    record = orjson.loads(found.data)
    _count_mask(record)
    watch_patient(uuid.UUID(record["patientId"]))
    with unit_of_work() as session:
        versions = list_versions(session, actor, record_id)
        actions = record_actions(session, actor, record_id)
    return show(
        "medical_records/record.html",
        record=record,
        versions=versions,
        actions=actions,
        form=_act_form(actions),
        addenda=_addenda(actor, record),
        visit=_visit(actor, record),
        **_patient(actor, record, with_team=True),
    )


def _patient(actor: Actor, record: Shown, *, with_team: bool) -> Shown:
    """Whose record it is, for the banner. An inactive patient's records stay, without team and allergies."""
    here, patient_id = runtime(), uuid.UUID(record["patientId"])
    found = get_patient(here.databases, actor, here.cipher, patient_id, include_deleted=True)
    patient = orjson.loads(found.data)
    team, allergies = [], None
    if patient["deletedAt"] is None:
        if with_team:
            team = orjson.loads(list_team(here.databases, actor, patient_id))
        allergies = orjson.loads(list_allergies(here.databases, actor, patient_id).data)
    return {"patient": patient, "team": team, "allergies": allergies}


def _addenda(actor: Actor, record: Shown, action: str = "medical_record.list") -> list[Shown]:
    """In the order in which they were written; an addendum has none of its own."""
    if record["amendsId"] is not None:
        return []
    filters = RecordFilters(patient_id=uuid.UUID(record["patientId"]), amends_id=uuid.UUID(record["id"]))
    page = list_records(runtime().databases, actor, filters, limit=LIMIT_MAX, action=action)
    return list(reversed(orjson.loads(page.data)))


def _visit(actor: Actor, record: Shown) -> Shown | None:
    if record["visitId"] is None or not actor.may(Permission.VISIT_READ):
        return None
    return get_visit(runtime().databases, actor, uuid.UUID(record["visitId"]))


def _actions(record_id: uuid.UUID) -> RecordActions:
    with unit_of_work() as session:
        return record_actions(session, current_actor(), record_id)


def _count_mask(record: Shown) -> None:
    if record["privacy"]["maskedFields"]:
        MASKS.inc()


def versions_page(record_id: uuid.UUID) -> Response:
    """The record's versions, and what changed between two of them."""
    query = read_query(CompareQuery)
    here, actor = runtime(), current_actor()
    record = orjson.loads(get_record(here.databases, actor, record_id, include_deleted=True).data)
    _count_mask(record)
    with unit_of_work() as session:
        versions = list_versions(session, actor, record_id)
    by_number = {version["version"]: version for version in versions}
    end = query.end or versions[0]["version"]
    start = query.start or max(end - 1, 1)
    if start not in by_number or end not in by_number:
        raise NotFound("This record has no such version.")
    before, after = by_number[min(start, end)], by_number[max(start, end)]
    return show(
        "medical_records/versions.html",
        record=record,
        versions=versions,
        before=before,
        after=after,
        changes=compare_versions(before, after),
        **_patient(actor, record, with_team=False),
    )


def print_view(record_id: uuid.UUID) -> Response:
    """A clean page to print. Asking for it is the act that the trail calls a print, so it is a POST."""
    here, actor = runtime(), current_actor()
    record = orjson.loads(print_record(here.databases, actor, record_id).data)
    _count_mask(record)
    return show(
        "medical_records/print.html",
        record=record,
        addenda=_addenda(actor, record, "medical_record.print"),
        actor=actor,
        printed_at=datetime.now(UTC),
        **_patient(actor, record, with_team=False),
    )


# Acts: each has a page that asks first, which is also what its dialog holds


def close_question(record_id: uuid.UUID) -> Response:
    return _question(record_id, "close")


def inactivate_question(record_id: uuid.UUID) -> Response:
    return _question(record_id, "inactivate")


def restore_question(record_id: uuid.UUID) -> Response:
    return _question(record_id, "restore")


def _question(record_id: uuid.UUID, act: str) -> Response:
    actions = _actions(record_id)
    if not getattr(actions, act):
        raise Forbidden(gettext("This can't be done with the record as it is, or it is not yours to do."))
    return _ask(record_id, act, _act_form(actions))


def _act_form(actions: RecordActions) -> Form[Any]:
    """Not filled in yet; it says which version its reader has seen."""
    return Form(values={"version": actions.version})


def _ask(record_id: uuid.UUID, act: str, form: Form[Any], status: int = 200) -> Response:
    fragments = {f"{act}-form": "medical_records/_act_form.html"}
    return show("medical_records/act.html", fragments, status=status, record_id=record_id, act=act, form=form)


def close(record_id: uuid.UUID) -> Any:
    """Close one's own record before its 24 hours are over."""
    with unit_of_work() as session:
        close_record(session, current_actor(), runtime().cipher, record_id)
    return go(f"{LIST}/{record_id}", done="record-closed")


def inactivate(record_id: uuid.UUID) -> Any:
    """Inactivate the record with the reason given; it can be restored."""
    form = _read_act()
    try:
        with unit_of_work() as session:
            inactivate_record(
                session, current_actor(), runtime().cipher, record_id,
                reason=_reason(form), version=form.body.version if form.body else None,
            )  # fmt: skip
    except Invalid as error:
        form.refuse(error)
        return _ask(record_id, "inactivate", form, 422)
    return go(f"{LIST}/{record_id}?includeDeleted=true", done="record-inactivated")


def restore(record_id: uuid.UUID) -> Any:
    """Make the record active again, with the reason given."""
    form = _read_act()
    try:
        with unit_of_work() as session:
            restore_record(session, current_actor(), runtime().cipher, record_id, reason=_reason(form))
    except Invalid as error:
        form.refuse(error)
        return _ask(record_id, "restore", form, 422)
    return go(f"{LIST}/{record_id}", done="record-restored")


def _read_act() -> Form[ActForm]:
    form = read_form(ActForm)
    if not form.values.get("reason", "").strip():
        form.errors["reason"] = gettext("Fill this in.")
    return form


def _reason(form: Form[ActForm]) -> str | None:
    """The reason; None for a form with anything wrong in it, which the service refuses once it has seen that the
    record is this actor's to change at all."""
    return form.body.reason if form.body else None


READ, DELETE = Guard(Permission.RECORD_READ), Guard(Permission.RECORD_DELETE)
CLOSE = Guard(Permission.RECORD_CLOSE)

routes.add(LIST, view=list_page, guard=READ)
routes.add(LIST, view=find, methods=["POST"], guard=READ)
routes.add(ITEM, view=record_page, guard=READ)
routes.add(f"{ITEM}/versions", view=versions_page, guard=READ)
routes.add(f"{ITEM}/print", view=print_view, methods=["POST"], guard=READ)
routes.add(f"{ITEM}/close", view=close_question, guard=CLOSE)
routes.add(f"{ITEM}/close", view=close, methods=["POST"], guard=CLOSE)
routes.add(f"{ITEM}/inactivate", view=inactivate_question, guard=DELETE)
routes.add(f"{ITEM}/inactivate", view=inactivate, methods=["POST"], guard=DELETE)
routes.add(f"{ITEM}/restore", view=restore_question, guard=DELETE)
routes.add(f"{ITEM}/restore", view=restore, methods=["POST"], guard=DELETE)
