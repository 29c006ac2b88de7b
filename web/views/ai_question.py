"""The card of one suggestion, which asks for itself while the model is at work.

It belongs into the form that it was asked from, and knows nothing of what is typed there.
"""

from __future__ import annotations

import uuid
from typing import Any

from services.ai_get import use_and_patient
from services.permissions import Permission
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form
from web.guards import Guard, Limit, Routes
from web.htmx import go, is_htmx, show
from web.views.ai_card import CARDS, ai_card

routes = Routes("ai_question")


def look(question_id: uuid.UUID) -> Any:
    """Opened by itself, its address leads to the patient."""
    with unit_of_work() as session:
        use, patient_id = use_and_patient(session, current_actor(), question_id)
    if not is_htmx() or use not in CARDS:
        return go(f"/patients/{patient_id}")
    into, template = CARDS[use]
    return show(template, {into: template}, card=ai_card(use, question_id, patient_id), form=Form())


routes.add("/ai/questions/<uuid:question_id>", view=look, guard=Guard(Permission.AI_USE), limit=Limit.LIVE)
