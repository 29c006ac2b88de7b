"""``/api/visits``: check in, the worklist, call, close."""

from __future__ import annotations

import uuid

from flask import Response, request

from models import Visit as VisitRow
from services.access import find_patient
from services.permissions import Permission
from services.shown_again import note_shown
from services.visit_call import call_visit
from services.visit_close import close_visit
from services.visit_create import NewVisit, create_visit
from services.visit_fields import show_visit
from services.visit_list import list_visits
from web.api.answers import json_answer, json_page
from web.api.idempotent import HEADER, create_once
from web.api.visit_schemas import CalledVisit, CloseBody, Visit, VisitBody, VisitPage, VisitQuery
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Operation, Routes
from web.request_body import as_model, read_body, read_json, read_query
from web.runtime import runtime

routes = Routes("visits")
TAG = "visits"
COLLECTION = "/api/visits"
ITEM = f"{COLLECTION}/<uuid:visit_id>"


def list_all() -> Response:
    """The worklist: by priority, then arrival; closed visits latest first"""
    query = read_query(VisitQuery)
    page = list_visits(
        runtime().databases, current_actor(), status=query.status, limit=query.limit, cursor=query.cursor
    )
    return json_page(page.data, page.next_cursor)


def create() -> Response:
    """Check a patient in"""
    actor, cipher = current_actor(), runtime().cipher
    data = read_json()
    body = as_model(VisitBody, data)
    new = NewVisit(body.patient_id, body.reason, body.priority, body.doctor_id)
    with unit_of_work() as session:
        visit_id, is_replay = create_once(
            session, actor, f"POST {COLLECTION}", data, "visit",
            lambda: create_visit(session, actor, cipher, new)[0].id,
        )  # fmt: skip
        visit = session.get_one(VisitRow, visit_id)
        patient, standing = find_patient(session, actor, visit.patient_id, inactive="show")
        if is_replay:
            note_shown(session, actor, "visit", visit_id, patient.id, standing, version=visit.version)
        shown = show_visit(session, actor, visit, patient)
    return json_answer(shown, 201)


def call(visit_id: uuid.UUID) -> Response:
    """Call a waiting patient in: a record opens, and the doctor joins the care team"""
    actor, cipher = current_actor(), runtime().cipher
    with unit_of_work() as session:
        called = call_visit(session, actor, cipher, visit_id)
        shown = show_visit(session, actor, called.visit, called.patient)
        shown["recordId"] = str(called.record.record.id)
    return json_answer(shown)


def close(visit_id: uuid.UUID) -> Response:
    """Close a visit: the patient was seen, or left"""
    actor, cipher = current_actor(), runtime().cipher
    has_body = bool(request.mimetype or request.content_length)
    body = read_body(CloseBody) if has_body else CloseBody()
    with unit_of_work() as session:
        visit, patient = close_visit(session, actor, cipher, visit_id, status=body.status)
        shown = show_visit(session, actor, visit, patient)
    return json_answer(shown)


WRITE = Guard(Permission.VISIT_WRITE)

routes.add(
    COLLECTION, view=list_all, guard=Guard(Permission.VISIT_READ), confirms_caller=True,
    operation=Operation("The worklist", TAG, {200: VisitPage}, query=VisitQuery),
)  # fmt: skip
routes.add(
    COLLECTION, view=create, methods=["POST"], guard=WRITE,
    operation=Operation(
        "Check a patient in", TAG, {201: Visit}, body=VisitBody, problems=(404, 409, 410), headers=HEADER
    ),
)  # fmt: skip
routes.add(
    f"{ITEM}/call", view=call, methods=["POST"], guard=Guard(Permission.VISIT_CALL),
    operation=Operation("Call a patient in", TAG, {200: CalledVisit}, problems=(404, 409)),
)  # fmt: skip
routes.add(
    f"{ITEM}/close", view=close, methods=["POST"], guard=WRITE,
    operation=Operation(
        "Close a visit", TAG, {200: Visit}, body=CloseBody, problems=(404, 409),
        description="The body may be left out: DONE for a patient in care, LEFT for one still waiting.",
    ),
)  # fmt: skip
