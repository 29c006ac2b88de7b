"""A priority suggested from the vital signs and the complaint of a triage, inside its form. A person sets it."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response
from flask_babel import gettext

from services.ai_request import ask_priority
from services.errors import Conflict
from services.permissions import Permission
from web.authentication import current_actor
from web.forms.reading import read_form
from web.forms.visits import Measured
from web.guards import Guard, Routes
from web.runtime import runtime
from web.views.ai_card import ACT, id_or_none, name_help, press
from web.views.visits import BESIDE, triage_page

routes = Routes("ai_priority")


def suggest(visit_id: uuid.UUID) -> Response:
    """Whatever a button of the card asks for. A script gets the card alone, without one the form is shown again."""
    here, actor = runtime(), current_actor()
    form = read_form(Measured, beside=(*BESIDE, "priority", ACT))

    def ask(session: Any) -> Any:
        if form.body is None:
            raise Conflict(gettext("Correct the vital signs first: nothing was asked."))
        return ask_priority(
            session, actor, here.settings, here.cipher, visit_id, complaint=form.body.notes or "",
            signs=form.body.signs(),
        )  # fmt: skip

    pressed = press(id_or_none(form.values.get("question")), ask)
    form.values["question"] = str(pressed.question_id or "")
    if pressed.taken is not None and pressed.question_id is not None:
        form.values["priority"] = pressed.taken
        name_help(form, pressed.question_id)
    return triage_page(visit_id, form, pressed.status, ai_problem=pressed.problem)


USE = Guard(Permission.AI_USE)

routes.add("/visits/<uuid:visit_id>/triage/priority", view=suggest, methods=["POST"], guard=USE)
