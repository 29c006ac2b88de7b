"""What a user was told: a page of it through their mask, and how much they have not looked at yet."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Notification
from models.engine import Databases
from models.user import Role
from services import cursor as cursors
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.masking import Visibility, role_relation, visibility
from services.permissions import Permission
from services.record_fields import sql_time

PLAIN = {"list": "notifications"}


def count_unread(session: Session, actor: Actor) -> int:
    """How many notifications wait for this user."""
    unread = select(func.count()).where(Notification.user_id == actor.user_id, Notification.read_at.is_(None))
    return session.scalar(unread) or 0


def list_notifications(
    databases: Databases, actor: Actor, *, limit: int = 20, cursor: str | None = None
) -> dict[str, Any]:
    """``{"data": [{id, kind, patientId, patientName, personName, subjectId, createdAt, readAt}], "nextCursor"}``,
    newest first. ``personName`` is who broke the glass, where that is what it is about; names are null where this
    role sees none. Raises Forbidden, Invalid (cursor), Unavailable.
    """
    actor.require(Permission.NOTIFICATION_READ)
    parameters: dict[str, Any] = {
        "me": actor.user_id,
        "limit": limit,
        **event_parameters(actor, Event("notification.list", "patient")),
    }
    if cursor is not None:
        parameters["after"], parameters["after_id"] = cursors.decode(PLAIN, cursor, datetime, uuid.UUID)
    row = read(databases, actor, _statement(actor.role, cursor is not None), parameters)
    rows = orjson.loads(row["data"]) if row is not None and row["data"] is not None else []
    has_more = row is not None and row["has_more"]
    return {
        "data": rows,
        "nextCursor": cursors.encode(PLAIN, rows[-1]["createdAt"], rows[-1]["id"]) if has_more else None,
    }


@lru_cache(maxsize=16)
def _statement(role: Role, continued: bool) -> str:
    relation = role_relation(role, in_team=False)
    name = person = "NULL::text"
    if visibility("patient", "fullName", relation) is Visibility.CLEAR:
        name = "(SELECT coalesce(p.social_name, p.full_name) FROM patients p WHERE p.id = s.patient_id)"
    if visibility("record", "author", relation) is Visibility.CLEAR:
        person = (
            "(SELECT u.full_name FROM break_glass_grants g JOIN users u ON u.id = g.user_id WHERE g.id = s.subject_id)"
        )
    after = "AND (n.created_at, n.id) < (%(after)s, %(after_id)s)" if continued else ""
    event = event_insert(
        "", entity_ids="ARRAY(SELECT DISTINCT patient_id FROM shown WHERE patient_id IS NOT NULL)"
    )
    return f"""
        WITH page AS MATERIALIZED (
            SELECT n.* FROM notifications n WHERE n.user_id = %(me)s {after}
            ORDER BY n.created_at DESC, n.id DESC LIMIT %(limit)s + 1
        ), shown AS MATERIALIZED (
            SELECT * FROM page ORDER BY created_at DESC, id DESC LIMIT %(limit)s
        ), event AS ({event})
        SELECT
            (SELECT json_agg(json_build_object(
                'id', s.id, 'kind', s.kind, 'patientId', s.patient_id, 'patientName', {name}, 'personName', {person},
                'subjectId', s.subject_id, 'createdAt', {sql_time("s.created_at")}, 'readAt', {sql_time("s.read_at")}
            ) ORDER BY s.created_at DESC, s.id DESC) FROM shown s)::text AS data,
            (SELECT count(*) > %(limit)s FROM page) AS has_more
    """
