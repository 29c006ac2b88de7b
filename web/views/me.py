"""``/me``: a patient's own record and who saw it; everybody's account, sessions and tokens."""

from __future__ import annotations

import html
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, render_template, request

from services.access_log import accesses_for_receipt, list_accesses
from services.access_receipt import one_line, sign_receipt
from services.account_get import get_account
from services.actor import Actor
from services.ai_refusal import standing_refusal
from services.allergy_list import list_allergies
from services.audited_read import together
from services.patient_get import get_patient
from services.permissions import Permission
from services.record_list import RecordFilters, list_records
from services.session_end import end_other_sessions, end_own_session
from services.session_list import list_sessions
from services.token_list_own import list_own_tokens
from services.visit_list import list_visits
from web.authentication import current_actor
from web.database import anonymous_work, unit_of_work
from web.guards import Guard, Routes
from web.htmx import go, show, target
from web.live_token import watch_patient
from web.runtime import runtime
from web.user_agents import browser_name

routes = Routes("me_pages")
SHOWN_RECORDS = 10
SHOWN_VISITS = 5
FRAGMENTS = {"accesses-more": "me/_accesses.html"}


def me() -> Response:
    """Each part in its own words; of the patient's parts a page further down asks for its own alone."""
    actor = current_actor()
    context: dict[str, Any] = {"own": None, "accesses": None}
    if actor.may(Permission.ACCESS_LOG_READ) and actor.patient_id is not None:
        context["accesses"] = list_accesses(
            runtime().databases, actor, by_others="own" not in request.args, cursor=request.args.get("cursor")
        )
        if target() not in FRAGMENTS:
            watch_patient(actor.patient_id)
            context["own"] = _own_record(actor, actor.patient_id)
            with unit_of_work() as session:
                context["ai_refusal"] = standing_refusal(session, actor.patient_id)
    with anonymous_work() as session:
        return show(
            "me/me.html", FRAGMENTS, actor=actor, account=get_account(session, actor),
            sessions=list_sessions(session, actor), tokens=list_own_tokens(session, actor),
            browser_name=browser_name, with_own="own" in request.args, **context,
        )  # fmt: skip


def receipt() -> Response:
    """Who saw one's record as a text file that the clinic signed."""
    here, actor, now = runtime(), current_actor(), datetime.now(UTC)
    accesses = accesses_for_receipt(here.databases, actor)
    text = render_template(
        "me/receipt.txt", accesses=accesses, patient=actor.name, clinic=here.settings.clinic_name,
        zone=here.settings.clinic_timezone, now=now, one_line=one_line,
    )  # fmt: skip
    answer = Response(sign_receipt(here.settings, html.unescape(text)), mimetype="text/plain")
    answer.headers.set("Content-Disposition", "attachment", filename=f"sigilo-accesses-{now:%Y%m%dT%H%M%SZ}.txt")
    return answer


def end_one(session_id: uuid.UUID) -> Any:
    """End a session of one's own; the present one ends like any other, and the next page asks to sign in."""
    with anonymous_work() as session:
        end_own_session(session, current_actor(), session_id)
    return go("/me", done="session-ended")


def end_others() -> Any:
    with anonymous_work() as session:
        end_other_sessions(session, current_actor())
    return go("/me", done="sessions-ended")


def _own_record(actor: Actor, patient_id: uuid.UUID) -> dict[str, Any]:
    """Who one is to the clinic, what is written about one, and when one was there: each read audited as ever."""
    here = runtime()
    filters = RecordFilters(patient_id=patient_id)
    with together(here.databases, actor) as databases:
        records = list_records(databases, actor, filters, limit=SHOWN_RECORDS)
        visits = [
            visit
            for status in (None, "DONE")
            for visit in orjson.loads(list_visits(databases, actor, status=status, limit=SHOWN_VISITS).data)
        ]
        return {
            "patient": orjson.loads(get_patient(databases, actor, here.cipher, patient_id).data),
            "allergies": orjson.loads(list_allergies(databases, actor, patient_id).data),
            "records": orjson.loads(records.data),
            "has_more_records": records.next_cursor is not None,
            "visits": visits[:SHOWN_VISITS],
        }


SELF = Guard(Permission.SELF)

routes.add("/me", view=me, guard=SELF)
routes.add("/me/access-receipt", view=receipt, guard=Guard(Permission.ACCESS_LOG_READ))
routes.add("/me/sessions/<uuid:session_id>/end", view=end_one, guard=SELF, methods=["POST"])
routes.add("/me/sessions/end-others", view=end_others, guard=SELF, methods=["POST"])
