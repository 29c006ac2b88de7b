"""A patient wants no AI used on their record, or does again: noted by themselves, or by whom they told."""

from __future__ import annotations

import uuid

from werkzeug.wrappers import Response as BaseResponse

from models.user import Role
from services.ai_refusal import allow_ai, refuse_ai
from services.permissions import Permission
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.htmx import go

routes = Routes("ai_refusal")
OF_PATIENT = "/patients/<uuid:patient_id>/ai-refusal"


def refuse(patient_id: uuid.UUID) -> BaseResponse:
    with unit_of_work() as session:
        refuse_ai(session, current_actor(), patient_id)
    return go(_page_of(patient_id), done="ai-refused")


def allow(patient_id: uuid.UUID) -> BaseResponse:
    with unit_of_work() as session:
        allow_ai(session, current_actor(), patient_id)
    return go(_page_of(patient_id), done="ai-allowed")


def _page_of(patient_id: uuid.UUID) -> str:
    return "/me" if current_actor().role is Role.PATIENT else f"/patients/{patient_id}"


GUARD = Guard(Permission.AI_REFUSE)
routes.add(OF_PATIENT, view=refuse, guard=GUARD, methods=["POST"])
routes.add(f"{OF_PATIENT}/end", view=allow, guard=GUARD, methods=["POST"])
