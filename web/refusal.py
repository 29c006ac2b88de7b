"""Write down what was refused: the event ``refused`` of the act that was tried, in a transaction of its own."""

from __future__ import annotations

import uuid

import psycopg
import sqlalchemy.exc
import structlog
from flask import current_app, g, request

from config import Principal
from models.user import Role
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters
from web.guards import route_table
from web.runtime import runtime

log = structlog.get_logger()

# Name of a rule's variable → what it identifies. The first that a rule has is what the act was about.
ENTITIES = {
    "record_id": "medical_record",
    "visit_id": "visit",
    "allergy_id": "allergy",
    "request_id": "role_request",
    "token_id": "token",
    "grant_id": "break_glass_grant",
    "alert_id": "access_alert",
    "user_id": "user",
    "patient_id": "patient",
}


def audit_refusal() -> None:
    """Record that the signed-in caller was refused. Never breaks the answer: it is a refusal already."""
    actor: Actor | None = g.get("actor")
    route = route_table(current_app).get(request.endpoint or "")
    if actor is None or route is None or g.get("is_refusal_audited"):
        return
    g.is_refusal_audited = True
    permission = route.guard.permission
    action = f"{request.endpoint}" if permission is None else action_of(permission.value)
    entity_type, entity_id = entity_of(request.view_args or {})
    event = Event(
        action=action,
        entity_type=entity_type,
        entity_id=entity_id,
        patient_id=(request.view_args or {}).get("patient_id"),
        outcome="refused",
    )
    principal = Principal.PATIENT if actor.role is Role.PATIENT else Principal.STAFF
    try:
        with runtime().databases.autocommit(principal) as connection:
            connection.execute(event_insert(""), event_parameters(actor, event))
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError):
        log.exception("refusal_not_audited")


def action_of(permission: str) -> str:
    """The audited name of an act: ``record.update`` is ``medical_record.update``."""
    return f"medical_{permission}" if permission.startswith("record.") else permission


def entity_of(arguments: dict[str, object]) -> tuple[str | None, uuid.UUID | None]:
    for name, kind in ENTITIES.items():
        value = arguments.get(name)
        if isinstance(value, uuid.UUID):
            return kind, value
    return None, None
