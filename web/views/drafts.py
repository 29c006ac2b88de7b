"""Text not saved yet: kept every few seconds, offered again, discarded."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from flask import Response, make_response, render_template, request

from models.record import CLINICAL_TEXT_MAX
from services.draft_get import ShownDraft, discard_draft, get_draft
from services.draft_list import list_drafts
from services.draft_save import FIELDS, DraftText, save_draft
from services.errors import Forbidden, Gone, Invalid, NotFound
from services.patient_get import get_patient
from services.permissions import Permission
from services.record_update import may_update
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Limit, Routes
from web.htmx import go, show
from web.local_path import local_path
from web.runtime import runtime
from web.views.record_form_page import require_same_writer

routes = Routes("drafts")
FORM_KEY_MAX = 64


def list_all() -> Response:
    """Everything of mine that is not saved yet."""
    with unit_of_work() as session:
        drafts = list_drafts(session, current_actor())
    return show("drafts/drafts.html", drafts=drafts)


def save() -> Response:
    """Keep what a form holds now. Answers with what the form says about it, and the draft's revision."""
    require_same_writer()
    with unit_of_work() as session:
        saved = save_draft(session, current_actor(), _sent(), runtime().settings.timezone)
    return make_response(render_template("drafts/_status.html", saved=saved))


def get(draft_id: uuid.UUID) -> Any:
    """Go on writing where that is possible; else show what was one's own in it."""
    here, actor = runtime(), current_actor()
    with unit_of_work() as session:
        draft = get_draft(session, actor, draft_id)
    path = _form_path(draft)
    if path is not None:
        return go(path)
    patient = None
    if draft.patient_id is not None:
        shown = get_patient(here.databases, actor, here.cipher, draft.patient_id, include_deleted=True)
        patient = orjson.loads(shown.data)
    return show("drafts/draft.html", draft=draft, patient=patient)


def discard(draft_id: uuid.UUID) -> Any:
    """Delete a draft that is not wanted, and go on where its button says."""
    with unit_of_work() as session:
        discard_draft(session, current_actor(), draft_id)
    return go(local_path(request.form.get("next", "/drafts")), done="draft-discarded")


def _form_path(draft: ShownDraft) -> str | None:
    """Where the draft is continued; None when its record is no longer the actor's to change."""
    if draft.record_id is None:
        return f"/medical-records/new?draftId={draft.id}"
    try:
        with unit_of_work() as session:
            may_update(session, current_actor(), draft.record_id, lock=False)
    except (Forbidden, NotFound, Gone):
        return None
    return f"/medical-records/{draft.record_id}/edit?draftId={draft.id}"


def _sent() -> DraftText:
    """What the form holds. On the screen that merges two edits, own words stand in fields of their own."""
    form = request.form
    values = {name: form[name] for name in FIELDS if name in form}
    values |= {name: form[f"own.{name}"] for name in FIELDS if form.get(f"choice.{name}") == "own"}
    if any("\0" in text for text in values.values()):
        raise Invalid("The form has a character that can't be stored.")
    if any(len(text) > CLINICAL_TEXT_MAX for text in values.values()):
        raise Invalid("A field is longer than can be saved. Shorten it, and the draft is kept again.")
    return DraftText(
        id=_id("draftId") or uuid.uuid4(),
        form=form.get("formKey", "")[:FORM_KEY_MAX],
        revision=_number("draftRevision"),
        patient_id=_id("patientId"),
        record_id=_id("recordId"),
        base_version=_number("version"),
        visit_id=_id("visitId"),
        amends_id=_id("amendsId"),
        values=values,
    )


def _id(name: str) -> uuid.UUID | None:
    given = request.form.get(name, "")
    try:
        return uuid.UUID(given) if given else None
    except ValueError:
        raise Invalid.at(f"/{name}", "an id") from None


def _number(name: str) -> int:
    given = request.form.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0


WRITE = Guard(Permission.RECORD_UPDATE)

routes.add("/drafts", view=list_all, guard=WRITE)
# Saved by the page every few seconds: counted apart, so that writing uses up nobody's clicks.
routes.add("/drafts", view=save, methods=["POST"], guard=WRITE, limit=Limit.LIVE)
routes.add("/drafts/<uuid:draft_id>", view=get, guard=WRITE)
routes.add("/drafts/<uuid:draft_id>/discard", view=discard, methods=["POST"], guard=WRITE)
