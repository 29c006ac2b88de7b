"""``/api/audit-events``: the trail, and ``/api/me/access-log``: a patient's own part of it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from services.access_log import list_accesses
from services.audit_read import TrailFilters, list_events
from services.permissions import Permission
from web.api.answers import json_answer
from web.api.schemas import Moment, PageQuery, Shown, Text
from web.authentication import current_actor
from web.guards import Guard, Operation, Routes
from web.request_body import read_query
from web.runtime import runtime

routes = Routes("audit")
TAG = "audit trail"
Outcome = Literal["success", "refused", "failure"]
Word = Annotated[str, Text(100)]


class TrailQuery(PageQuery):
    """Filters of the trail. ``from`` and ``to`` bound occurredAt, both included."""

    entity_type: Word | None = None
    entity_id: uuid.UUID | None = None
    actor_id: uuid.UUID | None = None
    patient_id: uuid.UUID | None = None
    action: Word | None = None
    start: Moment | None = Field(default=None, alias="from")
    end: Moment | None = Field(default=None, alias="to")


class EventActor(Shown):
    id: uuid.UUID | None
    role: str | None


class Change(Shown):
    field: str
    before: Any = Field(description="null where there was nothing, or where it is masked from you")
    after: Any


class EventMetadata(Shown):
    ip: str | None
    user_agent: str | None
    request_id: str | None
    token_id: uuid.UUID | None


class AuditEvent(Shown):
    """One thing that somebody did."""

    id: uuid.UUID
    occurred_at: datetime
    action: str
    actor: EventActor
    entity_type: str | None
    entity_id: uuid.UUID | None
    entity_ids: list[uuid.UUID] | None = Field(description="what a list showed, as far as it is yours to see")
    patient_id: uuid.UUID | None
    from_version: int | None
    to_version: int | None
    changes: list[Change]
    reason: str | None
    metadata: EventMetadata
    outcome: Outcome
    sequence: int
    hash: str = Field(description="SHA-256 of the event chained to the one before, in hex")


class EventPage(Shown):
    data: list[AuditEvent]
    next_cursor: str | None


class AccessActor(Shown):
    name: str | None
    role: str | None
    council: str | None


class Access(Shown):
    """One time that somebody did something with your record."""

    id: uuid.UUID
    occurred_at: datetime
    action: str
    outcome: Outcome
    is_own: bool
    actor: AccessActor
    entity_type: str | None
    entity_id: uuid.UUID | None
    entity_ids: list[uuid.UUID] | None
    basis: str | None = Field(description="what allowed it: care-team, break-glass, own, author, or a role")
    is_break_glass: bool
    reason: str | None = Field(description="what was stated when the glass was broken")


class AccessPage(Shown):
    data: list[Access]
    next_cursor: str | None


def list_trail() -> Response:
    """The audit trail, newest first: all of it for an auditor, that of their patients for doctors and nurses"""
    query = read_query(TrailQuery)
    filters = TrailFilters(
        entity_type=query.entity_type,
        entity_id=query.entity_id,
        actor_id=query.actor_id,
        patient_id=query.patient_id,
        action=query.action,
        start=query.start,
        end=query.end,
    )
    here = runtime()
    return json_answer(
        list_events(here.databases, here.cipher, current_actor(), filters, limit=query.limit, cursor=query.cursor)
    )


def list_own_accesses() -> Response:
    """Who saw my record, when and why"""
    query = read_query(PageQuery)
    return json_answer(list_accesses(runtime().databases, current_actor(), limit=query.limit, cursor=query.cursor))


routes.add(
    "/api/audit-events", view=list_trail, guard=Guard(Permission.TRAIL_READ),
    operation=Operation("Read the audit trail", TAG, {200: EventPage}, query=TrailQuery),
)  # fmt: skip
routes.add(
    "/api/me/access-log", view=list_own_accesses, guard=Guard(Permission.ACCESS_LOG_READ),
    operation=Operation("Who saw my record", "me", {200: AccessPage}, query=PageQuery),
)  # fmt: skip
