"""``/api/imports``: bring files in over HTTP, and watch how far the worker has got with them.

For administrators at a browser: no token has a scope for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from flask import Response
from pydantic import StringConstraints

from config import Principal
from services.import_rejects import rejects_csv
from services.import_upload import UPLOAD_MAX, show_job, upload_import
from services.permissions import Permission
from web.api.answers import json_answer
from web.api.schemas import ApiModel, Shown
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Operation, Routes
from web.request_body import read_query
from web.runtime import runtime
from web.uploaded_file import ENVELOPE, read_upload

routes = Routes("imports")
TAG = "imports"


class UploadQuery(ApiModel):
    format: Literal["auto", "fhir", "synthea-csv", "csv"] = "auto"


class UploadForm(ApiModel):
    """multipart/form-data with one part."""

    file: Annotated[str, StringConstraints(max_length=UPLOAD_MAX)]


class Job(Shown):
    id: uuid.UUID
    state: Literal["QUEUED", "RUNNING", "DONE", "FAILED", "CANCELLED"]
    format: str
    total: int | None
    read: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def upload() -> Response:
    """Queue one file for import"""
    actor, query = current_actor(), read_query(UploadQuery)
    name, content = read_upload(UPLOAD_MAX)
    with unit_of_work() as session:
        job = upload_import(session, actor, name=name, content=content, source_format=query.format)
        session.refresh(job)
        shown = show_job(session, actor, job.id)
    runtime().wakeup.imports()
    return json_answer(shown, 202, location=f"/api/imports/{shown['id']}")


def job(job_id: uuid.UUID) -> Response:
    """How far an import is"""
    with unit_of_work() as session:
        return json_answer(show_job(session, current_actor(), job_id))


def rejects(job_id: uuid.UUID) -> Response:
    """What an import refused, as CSV: file, line, where and why; never the content"""
    with unit_of_work() as session:
        show_job(session, current_actor(), job_id)
    databases = runtime().databases

    def pieces() -> Iterator[bytes]:
        with databases.session(Principal.STAFF) as session:
            yield from rejects_csv(session, job_id)

    headers = {"Content-Disposition": f'attachment; filename="rejects-{job_id}.csv"'}
    return Response(pieces(), mimetype="text/csv", headers=headers)


IMPORT = Guard(Permission.IMPORT)
routes.add(
    "/api/imports", view=upload, methods=["POST"], guard=IMPORT, max_bytes=UPLOAD_MAX + ENVELOPE,
    operation=Operation("Import a file", TAG, {202: Job}, query=UploadQuery, problems=(400, 413, 415)),
)  # fmt: skip
routes.add(
    "/api/imports/<uuid:job_id>", view=job, guard=IMPORT,
    operation=Operation("Watch an import", TAG, {200: Job}, problems=(404,)),
)  # fmt: skip
routes.add(
    "/api/imports/<uuid:job_id>/rejects", view=rejects, guard=IMPORT,
    operation=Operation("Download what an import refused (CSV)", TAG, {200: None}, problems=(404,)),
)  # fmt: skip
