"""Break-glass from the pages, and the review that is owed for each."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import orjson
from flask import Response, request
from pydantic import AwareDatetime, Field, StringConstraints

from services.break_glass import Preset, break_glass
from services.break_glass_end import end_break_glass
from services.break_glass_get import get_grant, list_reads
from services.break_glass_list import Review, list_grants
from services.break_glass_review import NOTE_MAX, Verdict, review_break_glass
from services.errors import Invalid
from services.patient_get import get_patient
from services.permissions import Permission
from web.api.patient_schemas import BreakGlassBody
from web.api.schemas import ApiModel
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, read_form
from web.guards import Guard, Routes
from web.htmx import go, show
from web.local_path import local_path
from web.runtime import runtime

routes = Routes("emergency_accesses")
ACCESSES = "/emergency-accesses"
GLASS = "/patients/<uuid:patient_id>/break-glass"
GRANT = f"{ACCESSES}/<uuid:grant_id>"


class ReviewBody(ApiModel):
    """What a reviewer decides, and why."""

    verdict: Annotated[Verdict, Field(strict=False)]
    note: Annotated[str, StringConstraints(max_length=NOTE_MAX)] | None = None
    follows: Annotated[AwareDatetime, Field(strict=False)] | None = None  # the review it concludes, by its time


def ask(patient_id: uuid.UUID) -> Response:
    """The form alone on a page: what a dialog shows where there is a script."""
    return _ask(patient_id, Form(values={"next": local_path(request.args.get("next"), otherwise=_back_to(patient_id))}))


def begin(patient_id: uuid.UUID) -> Any:
    """Start the half hour, and go back to the page that asked."""
    form = read_form(BreakGlassBody, beside=("next",))
    if form.body is not None:
        try:
            with unit_of_work() as session:
                break_glass(session, current_actor(), patient_id, reason=form.body.reason, preset=form.body.preset)
        except Invalid as error:
            form.refuse(error)
        else:
            return go(local_path(form.values.get("next"), otherwise=_back_to(patient_id)), done="glass-broken")
    return _ask(patient_id, form, status=422)


def end(grant_id: uuid.UUID) -> Any:
    """End one's own access early."""
    with unit_of_work() as session:
        patient_id = end_break_glass(session, current_actor(), grant_id)
    return go(local_path(request.form.get("next"), otherwise=_back_to(patient_id)), done="glass-closed")


def listed() -> Response:
    """Those that await a review; others by choice."""
    wanted = request.args.get("review", Review.AWAITED.value)
    review = Review(wanted) if wanted in set(Review) else Review.AWAITED
    found = list_grants(runtime().databases, current_actor(), review, cursor=request.args.get("cursor"))
    return show(
        "emergency_accesses/list.html",
        {"accesses": "emergency_accesses/_accesses.html", "accesses-more": "emergency_accesses/_rows.html"},
        found=found, review=review, reviews=list(Review), is_continued="cursor" in request.args,
    )  # fmt: skip


def one(grant_id: uuid.UUID) -> Response:
    return _one(grant_id, Form(values={}))


def review(grant_id: uuid.UUID) -> Any:
    """Take a reviewer's verdict."""
    form = read_form(ReviewBody)
    if form.body is not None:
        try:
            with unit_of_work() as session:
                review_break_glass(
                    session, current_actor(), runtime().cipher, grant_id, verdict=form.body.verdict,
                    note=form.body.note, follows=form.body.follows,
                )  # fmt: skip
        except Invalid as error:
            form.refuse(error)
        else:
            return go(f"{ACCESSES}/{grant_id}", done="access-reviewed")
    return _one(grant_id, form, status=422)


def _back_to(patient_id: uuid.UUID) -> str:
    return f"/patients/{patient_id}"


def _ask(patient_id: uuid.UUID, form: Form[Any], status: int = 200) -> Response:
    here = runtime()
    patient = orjson.loads(get_patient(here.databases, current_actor(), here.cipher, patient_id).data)
    return show("emergency_accesses/ask.html", status=status, patient=patient, form=form, presets=list(Preset))


def _one(grant_id: uuid.UUID, form: Form[Any], status: int = 200) -> Response:
    """The access with what was done in it; administrators learn that it happened, not what was read."""
    here, actor = runtime(), current_actor()
    grant = get_grant(here.databases, actor, grant_id)
    reads = None
    if actor.may(Permission.TRAIL_READ):
        reads = list_reads(here.databases, here.cipher, actor, grant, cursor=request.args.get("cursor"))
    return show(
        "emergency_accesses/one.html",
        {"reads-more": "emergency_accesses/_reads.html"},
        status=status, grant=grant, reads=reads, form=form, verdicts=list(Verdict),
        is_auditor=not actor.may(Permission.PATIENT_READ),
    )  # fmt: skip


BREAK, READ, REVIEW = (
    Guard(permission)
    for permission in (Permission.BREAK_GLASS, Permission.BREAK_GLASS_READ, Permission.BREAK_GLASS_REVIEW)
)

routes.add(GLASS, view=ask, guard=BREAK)
routes.add(GLASS, view=begin, guard=BREAK, methods=["POST"])
routes.add(ACCESSES, view=listed, guard=READ)
routes.add(GRANT, view=one, guard=READ)
routes.add(f"{GRANT}/end", view=end, guard=BREAK, methods=["POST"])
routes.add(f"{GRANT}/review", view=review, guard=REVIEW, methods=["POST"])
