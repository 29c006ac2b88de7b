"""``/imports``: send a file, watch how far the worker has got with it, and see what was refused and why."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, request
from flask_babel import gettext
from werkzeug.wrappers import Response as BaseResponse

from services.errors import Conflict, Invalid
from services.import_cancel import cancel_import
from services.import_list import get_import, list_imports
from services.import_reject_list import list_rejects
from services.import_retry import retry_import
from services.import_upload import UPLOAD_MAX, upload_import
from services.permissions import Permission
from web.api.imports import UploadQuery
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import WHOLE, Form, read_form
from web.forms.sentences import said
from web.guards import Guard, Routes
from web.htmx import go, show
from web.page_query import ListQuery
from web.request_body import read_query
from web.runtime import runtime
from web.uploaded_file import ENVELOPE, read_upload

routes = Routes("imports_pages")
LIST = "/imports"
ITEM = f"{LIST}/<uuid:job_id>"


def list_all() -> Response:
    """Every import, newest first, and the form to send a file."""
    return _list(Form())


def upload() -> BaseResponse:
    """Queue the file that was sent; what is wrong with it is said at the form."""
    form = read_form(UploadQuery)
    actor = current_actor()
    try:
        name, content = read_upload(UPLOAD_MAX)
        if name == "":
            form.errors["file"] = gettext("Choose a file first.")
        elif form.body is not None:
            with unit_of_work() as session:
                job = upload_import(session, actor, name=name, content=content, source_format=form.body.format)
            runtime().wakeup.imports()
            return go(f"{LIST}/{job.id}", done="import-started")
    except Invalid as error:
        form.errors["file"] = said(error.errors[0].message)
    except Conflict as error:
        form.errors["file"] = said(error.detail)
    if "file" in form.errors:
        form.errors.setdefault(WHOLE, gettext("Nothing was imported."))
    return _list(form, status=422)


def job(job_id: uuid.UUID) -> Response:
    """One import: progress, counts, refusals. Its row in the list is asked for here too."""
    query = read_query(ListQuery)
    with unit_of_work() as session:
        actor = current_actor()
        shown = get_import(session, actor, job_id)
        rejects = list_rejects(session, actor, job_id, cursor=query.cursor)
    for reject in rejects["data"]:
        reject["reason"] = said(reject["reason"])
    fragments = {
        "job": "imports/_job.html", "more-rejects": "imports/_reject_rows.html",
        f"import-{job_id}": "imports/_import_row.html",
    }  # fmt: skip
    return show("imports/job.html", fragments, job=shown, rejects=rejects)


def cancel(job_id: uuid.UUID) -> BaseResponse:
    with unit_of_work() as session:
        cancel_import(session, current_actor(), job_id)
    return go(f"{LIST}/{job_id}", done="import-cancelled")


def retry(job_id: uuid.UUID) -> BaseResponse:
    with unit_of_work() as session:
        retry_import(session, current_actor(), job_id)
    runtime().wakeup.imports()
    return go(f"{LIST}/{job_id}", done="import-started")


def _list(form: Form[Any], status: int = 200) -> Response:
    cursor = read_query(ListQuery).cursor if request.method == "GET" else None
    with unit_of_work() as session:
        imports = list_imports(session, current_actor(), cursor=cursor)
    fragments = {"newest": "imports/_newest.html", "more-imports": "imports/_more_imports.html"}
    return show(
        "imports/imports.html", fragments, status=status, form=form, imports=imports, upload_max=UPLOAD_MAX
    )


GUARD = Guard(Permission.IMPORT)
routes.add(LIST, view=list_all, guard=GUARD)
routes.add(LIST, view=upload, guard=GUARD, methods=["POST"], max_bytes=UPLOAD_MAX + ENVELOPE)
routes.add(ITEM, view=job, guard=GUARD)
routes.add(f"{ITEM}/cancel", view=cancel, guard=GUARD, methods=["POST"])
routes.add(f"{ITEM}/retry", view=retry, guard=GUARD, methods=["POST"])
