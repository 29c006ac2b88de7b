"""``/api/patients``: register, find, correct, inactivate."""

from __future__ import annotations

import uuid

from flask import Response

from services.access import find_patient
from services.identifier_lookup import counted_duplicates
from services.patient_create import create_patient
from services.patient_get import get_patient
from services.patient_homonyms import find_homonyms
from services.patient_inactivate import inactivate_patient, restore_patient
from services.patient_list import PatientSearch, list_patients, search_patients
from services.patient_update import may_update_patient, update_patient
from services.patient_view import patient_etag, show_patient
from services.patient_write import PatientAccess, note_unchanged
from services.permissions import Permission
from web.api.answers import json_answer, json_page, json_text, no_content
from web.api.idempotent import HEADER, create_once
from web.api.patient_schemas import (
    Patient,
    PatientBody,
    PatientChange,
    PatientCreated,
    PatientPage,
    PatientQuery,
    PatientSearchBody,
)
from web.api.preconditions import named_version
from web.api.record_schemas import IncludeDeleted
from web.api.schemas import ReasonBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Operation, Routes
from web.request_body import as_model, read_body, read_json, read_query
from web.runtime import runtime

routes = Routes("patients")
TAG = "patients"
COLLECTION = "/api/patients"
ITEM = f"{COLLECTION}/<uuid:patient_id>"
IF_MATCH = {"If-Match": '"<version>": the version you read; or send version in the body'}
ETAG = {"ETag": '"<version>" when all is clear to you, "<version>-<mask>" otherwise'}
NOT_CONTENT = ("version", "reason")


def list_all() -> Response:
    """Patients by the name shown first, accents and case aside"""
    here, query = runtime(), read_query(PatientQuery)
    page = list_patients(
        here.databases,
        current_actor(),
        here.cipher,
        include_deleted=query.include_deleted,
        limit=query.limit,
        cursor=query.cursor,
    )
    return json_page(page.data, page.next_cursor)


def search() -> Response:
    """Patients by name, CPF or CNS"""
    here, body = runtime(), read_body(PatientSearchBody)
    wanted = PatientSearch(q=body.q, cpf=body.cpf, cns=body.cns, include_deleted=body.include_deleted)
    page = search_patients(here.databases, current_actor(), here.cipher, wanted, limit=body.limit, cursor=body.cursor)
    return json_page(page.data, page.next_cursor)


def create() -> Response:
    """Register a patient; the answer warns of homonyms"""
    actor, here = current_actor(), runtime()
    data = read_json()
    content = as_model(PatientBody, data).sent()
    with unit_of_work() as session, counted_duplicates(session, actor, content):
        patient_id, is_replay = create_once(
            session, actor, f"POST {COLLECTION}", data, "patient",
            lambda: create_patient(session, actor, here.cipher, content).patient.id,
        )  # fmt: skip
        # Read again rather than remembered: a replay is masked for whoever asks today.
        access = PatientAccess(*find_patient(session, actor, patient_id, inactive="show"))
        if is_replay:
            note_unchanged(session, actor, access)
        shown, etag = show_patient(here.cipher, access), patient_etag(access)
        shown["homonyms"] = [str(found) for found in find_homonyms(session, actor, access.patient)]
    return json_answer(shown, 201, etag=etag, location=f"{COLLECTION}/{patient_id}")


def get(patient_id: uuid.UUID) -> Response:
    """One patient"""
    here, query = runtime(), read_query(IncludeDeleted)
    shown = get_patient(here.databases, current_actor(), here.cipher, patient_id, include_deleted=query.include_deleted)
    return json_text(shown.data, etag=shown.etag)


def update(patient_id: uuid.UUID) -> Response:
    """Correct a patient's identification; what is left out stays"""
    actor, here = current_actor(), runtime()
    data = read_json()
    with unit_of_work() as session:
        access = may_update_patient(session, actor, patient_id)
        body = as_model(PatientChange, data)
        content = body.sent(without=NOT_CONTENT)
        with counted_duplicates(session, actor, content):
            access = update_patient(
                session,
                actor,
                here.cipher,
                access,
                version=named_version(body.version),
                content=content,
                reason=body.reason,
            )
        shown, etag = show_patient(here.cipher, access), patient_etag(access)
    return json_answer(shown, etag=etag)


def inactivate(patient_id: uuid.UUID) -> Response:
    """Inactivate a patient registered by mistake, saying why; they can be restored"""
    actor, cipher = current_actor(), runtime().cipher
    body = read_body(ReasonBody)
    with unit_of_work() as session:
        inactivate_patient(session, actor, cipher, patient_id, reason=body.reason, version=named_version(None))
    return no_content()


def restore(patient_id: uuid.UUID) -> Response:
    """Make an inactive patient active again, saying why"""
    actor, cipher = current_actor(), runtime().cipher
    body = read_body(ReasonBody)
    with unit_of_work() as session:
        access = restore_patient(session, actor, cipher, patient_id, reason=body.reason)
        shown, etag = show_patient(cipher, access), patient_etag(access)
    return json_answer(shown, etag=etag)


READ, LOOKUP = Guard(Permission.PATIENT_READ), Guard(Permission.PATIENT_LOOKUP)
UPDATE, DELETE = Guard(Permission.PATIENT_UPDATE), Guard(Permission.PATIENT_DELETE)

routes.add(
    COLLECTION, view=list_all, guard=READ, confirms_caller=True,
    operation=Operation("List patients", TAG, {200: PatientPage}, query=PatientQuery),
)  # fmt: skip
routes.add(
    f"{COLLECTION}/search", view=search, methods=["POST"], guard=LOOKUP,
    operation=Operation(
        "Search patients", TAG, {200: PatientPage}, body=PatientSearchBody, problems=(429,),
        description="By name, or by exact CPF or CNS: at most five numbers an hour for those who see them in part.",
    ),
)  # fmt: skip
routes.add(
    COLLECTION, view=create, methods=["POST"], guard=Guard(Permission.PATIENT_CREATE),
    operation=Operation(
        "Register a patient", TAG, {201: PatientCreated}, body=PatientBody, problems=(409,), headers=HEADER,
        answer_headers=ETAG | {"Location": "the patient"},
    ),
)  # fmt: skip
routes.add(
    ITEM, view=get, guard=READ, confirms_caller=True,
    operation=Operation(
        "Read a patient", TAG, {200: Patient, 304: None}, query=IncludeDeleted, problems=(404, 410),
        answer_headers=ETAG,
        headers={"If-None-Match": "an ETag you have: 304 when this view of the patient is still the same"},
    ),
)  # fmt: skip
routes.add(
    ITEM, view=update, methods=["PUT"], guard=UPDATE,
    operation=Operation(
        "Correct a patient", TAG, {200: Patient}, body=PatientChange, problems=(404, 409, 410, 428),
        headers=IF_MATCH, answer_headers=ETAG,
    ),
)  # fmt: skip
routes.add(
    ITEM, view=inactivate, methods=["DELETE"], guard=DELETE,
    operation=Operation(
        "Inactivate a patient", TAG, {204: None}, body=ReasonBody, problems=(404, 409, 410), headers=IF_MATCH
    ),
)  # fmt: skip
routes.add(
    f"{ITEM}/restore", view=restore, methods=["POST"], guard=DELETE,
    operation=Operation(
        "Restore a patient", TAG, {200: Patient}, body=ReasonBody, problems=(404, 409), answer_headers=ETAG
    ),
)  # fmt: skip
