"""``/api/medical-records``: write, read, search, correct, inactivate."""

from __future__ import annotations

import uuid

from flask import Response

from services.access import find_record
from services.permissions import Permission
from services.record_close import close_record
from services.record_create import NewRecord, create_record
from services.record_get import get_record
from services.record_inactivate import inactivate_record, restore_record
from services.record_list import RecordFilters, list_records, search_records
from services.record_update import may_update, update_record
from services.record_versions import get_version, list_versions
from services.record_view import record_etag, show_record
from services.record_write import note_unchanged
from web.api.answers import json_answer, json_page, json_text, no_content
from web.api.idempotent import HEADER, create_once
from web.api.preconditions import named_version
from web.api.record_schemas import (
    IncludeDeleted,
    Record,
    RecordBody,
    RecordChange,
    RecordPage,
    RecordQuery,
    RecordSearch,
    RecordVersionList,
    RecordVersionShown,
)
from web.api.schemas import ReasonBody
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Operation, Routes
from web.request_body import as_model, read_body, read_json, read_query
from web.runtime import runtime

routes = Routes("medical_records")
TAG = "medical records"
COLLECTION = "/api/medical-records"
ITEM = f"{COLLECTION}/<uuid:record_id>"
IF_MATCH = {"If-Match": '"<version>": the version you read; or send version in the body'}
ETAG = {"ETag": '"<version>" when all is clear to you, "<version>-<mask>" otherwise'}
NOT_CONTENT = ("patient_id", "visit_id", "amends_id", "version", "reason")


def list_all() -> Response:
    """Records, newest first by occurredAt"""
    query = read_query(RecordQuery)
    filters = RecordFilters(
        patient_id=query.patient_id,
        priority=query.priority,
        kind=query.kind,
        start=query.start,
        end=query.end,
        include_deleted=query.include_deleted,
    )
    page = list_records(runtime().databases, current_actor(), filters, limit=query.limit, cursor=query.cursor)
    return json_page(page.data, page.next_cursor)


def search() -> Response:
    """Records that match words, best first; accents and case do not matter"""
    body = read_body(RecordSearch)
    filters = RecordFilters(
        patient_id=body.patient_id, priority=body.priority, start=body.start, end=body.end, q=body.q
    )
    page = search_records(runtime().databases, current_actor(), filters, limit=body.limit, cursor=body.cursor)
    return json_page(page.data, page.next_cursor)


def create() -> Response:
    """Write a record, or an addendum to one"""
    actor, cipher = current_actor(), runtime().cipher
    data = read_json()
    body = as_model(RecordBody, data)
    new = NewRecord(
        patient_id=body.patient_id,
        content=body.sent(without=NOT_CONTENT),
        visit_id=body.visit_id,
        amends_id=body.amends_id,
    )
    with unit_of_work() as session:
        record_id, is_replay = create_once(
            session, actor, f"POST {COLLECTION}", data, "medical_record",
            lambda: create_record(session, actor, cipher, new).record.id,
        )  # fmt: skip
        # Read again rather than remembered: a replay is masked for whoever asks today.
        access = find_record(session, actor, record_id, inactive="show")
        if is_replay:
            note_unchanged(session, actor, access)
        shown, etag = show_record(session, access), record_etag(access)
    return json_answer(shown, 201, etag=etag, location=f"{COLLECTION}/{record_id}")


def get(record_id: uuid.UUID) -> Response:
    """One record"""
    query = read_query(IncludeDeleted)
    shown = get_record(runtime().databases, current_actor(), record_id, include_deleted=query.include_deleted)
    return json_text(shown.data, etag=shown.etag)


def update(record_id: uuid.UUID) -> Response:
    """Change a record; what is left out stays"""
    actor, cipher = current_actor(), runtime().cipher
    data = read_json()
    with unit_of_work() as session:
        access = may_update(session, actor, record_id)
        body = as_model(RecordChange, data)
        access = update_record(
            session,
            actor,
            cipher,
            access,
            version=named_version(body.version),
            content=body.sent(without=NOT_CONTENT),
            reason=body.reason,
        )
        shown, etag = show_record(session, access), record_etag(access)
    return json_answer(shown, etag=etag)


def inactivate(record_id: uuid.UUID) -> Response:
    """Inactivate a record, saying why; it can be restored"""
    actor, cipher = current_actor(), runtime().cipher
    body = read_body(ReasonBody)
    with unit_of_work() as session:
        inactivate_record(session, actor, cipher, record_id, reason=body.reason, version=named_version(None))
    return no_content()


def restore(record_id: uuid.UUID) -> Response:
    """Make an inactive record active again, saying why"""
    actor, cipher = current_actor(), runtime().cipher
    body = read_body(ReasonBody)
    with unit_of_work() as session:
        access = restore_record(session, actor, cipher, record_id, reason=body.reason)
        shown, etag = show_record(session, access), record_etag(access)
    return json_answer(shown, etag=etag)


def close(record_id: uuid.UUID) -> Response:
    """Close one's own record before its 24 hours are over"""
    actor, cipher = current_actor(), runtime().cipher
    with unit_of_work() as session:
        access = close_record(session, actor, cipher, record_id)
        shown, etag = show_record(session, access), record_etag(access)
    return json_answer(shown, etag=etag)


def versions(record_id: uuid.UUID) -> Response:
    """What a record was at every version, newest first"""
    with unit_of_work() as session:
        shown = list_versions(session, current_actor(), record_id)
    return json_answer({"data": shown})


def version(record_id: uuid.UUID, number: int) -> Response:
    """What a record was at one version"""
    with unit_of_work() as session:
        shown = get_version(session, current_actor(), record_id, number)
    return json_answer(shown)


READ, CREATE = Guard(Permission.RECORD_READ), Guard(Permission.RECORD_CREATE)
UPDATE, DELETE = Guard(Permission.RECORD_UPDATE), Guard(Permission.RECORD_DELETE)

routes.add(
    COLLECTION, view=list_all, guard=READ, confirms_caller=True,
    operation=Operation("List records", TAG, {200: RecordPage}, query=RecordQuery),
)  # fmt: skip
routes.add(
    f"{COLLECTION}/search", view=search, methods=["POST"], guard=READ,
    operation=Operation("Search records", TAG, {200: RecordPage}, body=RecordSearch),
)  # fmt: skip
routes.add(
    COLLECTION, view=create, methods=["POST"], guard=CREATE,
    operation=Operation(
        "Write a record", TAG, {201: Record}, body=RecordBody, problems=(404, 410), headers=HEADER,
        answer_headers=ETAG | {"Location": "the record"},
    ),
)  # fmt: skip
routes.add(
    ITEM, view=get, guard=READ, confirms_caller=True,
    operation=Operation(
        "Read a record", TAG, {200: Record, 304: None}, query=IncludeDeleted, problems=(404, 410), answer_headers=ETAG,
        headers={"If-None-Match": "an ETag you have: 304 when this view of the record is still the same"},
    ),
)  # fmt: skip
routes.add(
    ITEM, view=update, methods=["PUT"], guard=UPDATE,
    operation=Operation(
        "Change a record", TAG, {200: Record}, body=RecordChange, problems=(404, 409, 410, 428), headers=IF_MATCH,
        answer_headers=ETAG,
    ),
)  # fmt: skip
routes.add(
    ITEM, view=inactivate, methods=["DELETE"], guard=DELETE,
    operation=Operation(
        "Inactivate a record", TAG, {204: None}, body=ReasonBody, problems=(404, 409, 410), headers=IF_MATCH
    ),
)  # fmt: skip
routes.add(
    f"{ITEM}/restore", view=restore, methods=["POST"], guard=DELETE,
    operation=Operation(
        "Restore a record", TAG, {200: Record}, body=ReasonBody, problems=(404, 409), answer_headers=ETAG
    ),
)  # fmt: skip
routes.add(
    f"{ITEM}/close", view=close, methods=["POST"], guard=Guard(Permission.RECORD_CLOSE),
    operation=Operation("Close a record", TAG, {200: Record}, problems=(404, 410), answer_headers=ETAG),
)  # fmt: skip
routes.add(
    f"{ITEM}/versions", view=versions, guard=READ,
    operation=Operation("List a record's versions", TAG, {200: RecordVersionList}, problems=(404,)),
)  # fmt: skip
routes.add(
    f"{ITEM}/versions/<int:number>", view=version, guard=READ,
    operation=Operation("Read one version of a record", TAG, {200: RecordVersionShown}, problems=(404,)),
)  # fmt: skip
