"""``/api/patients/{id}/…``: the care team, allergies, and breaking the glass."""

from __future__ import annotations

import uuid

from flask import Response, request

from models import Allergy as AllergyRow
from services.access import find_patient
from services.allergy_create import NewAllergy, create_allergy, show_allergy
from services.allergy_list import list_allergies
from services.break_glass import break_glass
from services.care_team_add import add_member
from services.care_team_list import list_team, show_member
from services.care_team_remove import remove_member
from services.permissions import Permission
from services.record_fields import time_text
from services.shown_again import note_shown
from web.api.answers import json_answer, json_text, no_content
from web.api.idempotent import HEADER, create_once
from web.api.patient_schemas import (
    Allergy,
    AllergyBody,
    AllergyList,
    BreakGlassBody,
    Grant,
    Member,
    MemberBody,
    MemberList,
    RemovalBody,
)
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Operation, Routes
from web.request_body import as_model, read_body, read_json
from web.runtime import runtime

routes = Routes("care")
PATIENT = "/api/patients/<uuid:patient_id>"
TEAM, ALLERGIES = f"{PATIENT}/care-team", f"{PATIENT}/allergies"
PATIENTS_TAG, TEAM_TAG = "patients", "care teams"


def team(patient_id: uuid.UUID) -> Response:
    """Who is on the care team now"""
    data = list_team(runtime().databases, current_actor(), patient_id)
    return json_text(b'{"data":%b}' % data)


def join(patient_id: uuid.UUID) -> Response:
    """Add a doctor or nurse; 200 when they are a member already"""
    actor, cipher = current_actor(), runtime().cipher
    data = read_json()
    with unit_of_work() as session:
        membership = add_member(session, actor, cipher, patient_id, as_model(MemberBody, data).user_id)
        shown = show_member(membership)
    return json_answer(shown, 201 if membership.is_new else 200)


def leave(patient_id: uuid.UUID, user_id: uuid.UUID) -> Response:
    """Remove somebody; the responsible doctor only when another is named"""
    actor, cipher = current_actor(), runtime().cipher
    has_body = bool(request.mimetype or request.content_length)
    body = read_body(RemovalBody) if has_body else RemovalBody()
    with unit_of_work() as session:
        remove_member(session, actor, cipher, patient_id, user_id, responsible_id=body.responsible_id)
    return no_content()


def allergies(patient_id: uuid.UUID) -> Response:
    """A patient's allergies"""
    found = list_allergies(runtime().databases, current_actor(), patient_id)
    return json_text(b'{"data":%b,"privacy":%b}' % (found.data, found.privacy))


def note_allergy(patient_id: uuid.UUID) -> Response:
    """Note an allergy"""
    actor, cipher = current_actor(), runtime().cipher
    data = read_json()
    body = as_model(AllergyBody, data)
    new = NewAllergy(body.substance, body.reaction, body.severity, body.noted_at)
    with unit_of_work() as session:
        allergy_id, is_replay = create_once(
            session, actor, f"POST /api/patients/{patient_id}/allergies", data, "allergy",
            lambda: create_allergy(session, actor, cipher, patient_id, new)[0].id,
        )  # fmt: skip
        _, standing = find_patient(session, actor, patient_id, inactive="show")
        if is_replay:
            note_shown(session, actor, "allergy", allergy_id, patient_id, standing)
        shown = show_allergy(session.get_one(AllergyRow, allergy_id), standing)
    return json_answer(shown, 201)


def break_the_glass(patient_id: uuid.UUID) -> Response:
    """See one patient in the clear for half an hour; the team and the administrators are told"""
    body = read_body(BreakGlassBody)
    with unit_of_work() as session:
        grant = break_glass(session, current_actor(), patient_id, reason=body.reason, preset=body.preset)
        shown = {"id": str(grant.id), "expiresAt": time_text(grant.expires_at)}
    return json_answer(shown, 201)


CHANGE_TEAM = Guard(Permission.CARE_TEAM_WRITE)

routes.add(
    TEAM, view=team, guard=Guard(Permission.PATIENT_READ), confirms_caller=True,
    operation=Operation("List the care team", TEAM_TAG, {200: MemberList}, problems=(404, 410)),
)  # fmt: skip
routes.add(
    TEAM, view=join, methods=["POST"], guard=CHANGE_TEAM,
    operation=Operation(
        "Add to the care team", TEAM_TAG, {201: Member, 200: Member}, body=MemberBody, problems=(404, 410)
    ),
)  # fmt: skip
routes.add(
    f"{TEAM}/<uuid:user_id>", view=leave, methods=["DELETE"], guard=CHANGE_TEAM,
    operation=Operation(
        "Remove from the care team", TEAM_TAG, {204: None}, body=RemovalBody, problems=(404, 409, 410),
        description="The body may be left out unless the responsible doctor is removed.",
    ),
)  # fmt: skip
routes.add(
    ALLERGIES, view=allergies, guard=Guard(Permission.ALLERGY_READ), confirms_caller=True,
    operation=Operation("List allergies", PATIENTS_TAG, {200: AllergyList}, problems=(404, 410)),
)  # fmt: skip
routes.add(
    ALLERGIES, view=note_allergy, methods=["POST"], guard=Guard(Permission.ALLERGY_WRITE),
    operation=Operation(
        "Note an allergy", PATIENTS_TAG, {201: Allergy}, body=AllergyBody, problems=(404, 410), headers=HEADER
    ),
)  # fmt: skip
routes.add(
    f"{PATIENT}/break-glass", view=break_the_glass, methods=["POST"], guard=Guard(Permission.BREAK_GLASS),
    operation=Operation("Break the glass", TEAM_TAG, {201: Grant}, body=BreakGlassBody, problems=(404, 409, 410)),
)  # fmt: skip
