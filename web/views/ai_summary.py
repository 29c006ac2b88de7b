"""A summary of a patient's record by the local model: asked for, watched, stopped, and taken over or rejected.

It stands on the patient's page as a card that asks for itself while the model is at work; nobody's request waits.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from flask import Response
from pydantic import StringConstraints
from werkzeug.wrappers import Response as BaseResponse

from services.ai_cancel import cancel_request
from services.ai_gather import sees_contents
from services.ai_get import newest_request, patient_of_request, show_request
from services.ai_refusal import standing_refusal
from services.ai_request import ask_summary
from services.ai_verdict import accept_summary, reject
from services.errors import Conflict, Gone, Invalid, NotFound, QuotaExceeded
from services.patient_acts import patient_acts
from services.permissions import Permission
from web.api.schemas import ApiModel
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, read_form
from web.forms.sentences import said
from web.guards import Guard, Limit, Routes
from web.htmx import go, is_htmx, show
from web.runtime import runtime

routes = Routes("ai_summary")
OF_PATIENT = "/patients/<uuid:patient_id>/summary"
QUESTION = "/ai/questions/<uuid:question_id>"


class SummaryForm(ApiModel):
    text: Annotated[str, StringConstraints(max_length=20_000)]


def summary_card(patient_id: uuid.UUID) -> dict[str, Any]:
    """What templates/ai/_summary.html shows. Raises Forbidden, NotFound, Gone."""
    here, actor = runtime(), current_actor()
    with unit_of_work() as session:
        acts = patient_acts(session, actor, patient_id)
        is_shown = sees_contents(session, actor, patient_id)
        refusal = standing_refusal(session, patient_id)
        newest = None if refusal else newest_request(session, actor, patient_id, "SUMMARY")
        shown = None if newest is None else show_request(session, actor, here.cipher, newest)
    return {
        "patient_id": patient_id, "ai_refusal": refusal, "ai": shown, "may_write": acts.write_record, "said": said,
        "may_break_glass": acts.break_glass, "is_masked": not is_shown and not acts.in_team, "ai_problem": None,
        "ai_form": Form(), "ai_text": None, "has_model": bool(here.settings.ollama_url),
    }  # fmt: skip


def card(patient_id: uuid.UUID) -> Response:
    return _show(patient_id)


def ask(patient_id: uuid.UUID) -> BaseResponse:
    here, actor = runtime(), current_actor()
    try:
        with unit_of_work() as session:
            asked = ask_summary(session, actor, here.settings, here.cipher, patient_id)
    except (Conflict, QuotaExceeded) as error:
        return _refused(patient_id, error)
    if asked.is_new:
        here.wakeup.inference()
    return _answered(patient_id)


def cancel(question_id: uuid.UUID) -> BaseResponse:
    with unit_of_work() as session:
        patient_id = patient_of_request(session, current_actor(), question_id)
        cancel_request(session, current_actor(), question_id)
    return _answered(patient_id)


def reject_one(question_id: uuid.UUID) -> BaseResponse:
    with unit_of_work() as session:
        patient_id = patient_of_request(session, current_actor(), question_id)
    try:
        with unit_of_work() as session:
            reject(session, current_actor(), question_id)
    except Conflict as error:
        return _refused(patient_id, error)
    return _answered(patient_id)


def accept(question_id: uuid.UUID) -> BaseResponse:
    """A record of one's own with the summary as one left it."""
    here, actor = runtime(), current_actor()
    with unit_of_work() as session:
        patient_id = patient_of_request(session, actor, question_id)
    form = read_form(SummaryForm)
    try:
        with unit_of_work() as session:
            written = accept_summary(
                session, actor, here.cipher, question_id, "" if form.body is None else form.body.text
            )
    except Invalid as error:
        form.refuse(error)
        return _show(patient_id, status=422, ai_form=form)
    except Conflict as error:
        return _refused(patient_id, error, ai_form=form, ai_text=_text(form))
    except (NotFound, Gone) as error:
        # Gone while it was being edited: what was written is still here to be copied.
        return _show(patient_id, status=410, ai_problem=said(error.detail), ai_text=_text(form))
    return go(f"/medical-records/{written}", done="record-created")


def _text(form: Form[SummaryForm]) -> str | None:
    return None if form.body is None else form.body.text.strip() or None


def _answered(patient_id: uuid.UUID) -> BaseResponse:
    return _show(patient_id) if is_htmx() else go(f"/patients/{patient_id}/summary")


def _refused(patient_id: uuid.UUID, error: Conflict | QuotaExceeded, **context: Any) -> Response:
    """The card itself says that the patient refused, that a quota is used up, or that it is settled already."""
    status = 429 if isinstance(error, QuotaExceeded) else 409
    return _show(patient_id, status=status, ai_problem=said(error.detail), **context)


def _show(patient_id: uuid.UUID, *, status: int = 200, **context: Any) -> Response:
    shown = summary_card(patient_id) | context
    return show("ai/summary.html", {"ai-summary": "ai/_summary.html"}, status=status, **shown)


USE = Guard(Permission.AI_USE)
routes.add(OF_PATIENT, view=card, guard=USE, limit=Limit.LIVE)
routes.add(OF_PATIENT, view=ask, guard=USE, methods=["POST"])
routes.add(f"{QUESTION}/cancel", view=cancel, guard=USE, methods=["POST"])
routes.add(f"{QUESTION}/accept", view=accept, guard=USE, methods=["POST"])
routes.add(f"{QUESTION}/reject", view=reject_one, guard=USE, methods=["POST"])
