"""Who is on a patient's care team now, with the read's event, in one statement."""

from __future__ import annotations

import uuid
from functools import lru_cache

from models.engine import Databases
from models.user import Role
from services.access import CURRENT_MEMBER, NO_PATIENT
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.care_team_add import Membership
from services.errors import Gone, NotFound
from services.patient_get import INACTIVE
from services.permissions import Permission
from services.record_fields import sql_time, time_text


def list_team(databases: Databases, actor: Actor, patient_id: uuid.UUID) -> bytes:
    """A JSON array of members, longest first: ``{userId, name, council, origin, addedAt, expiresAt}``.

    Who treats a patient is as visible as who wrote a record. Raises Forbidden, NotFound, Gone, Unavailable.
    """
    actor.require(Permission.PATIENT_READ)
    event = Event(action="care_team.list", entity_type="patient", entity_id=patient_id)
    parameters = {"id": patient_id, **event_parameters(actor, event)}
    row = read(databases, actor, _statement(actor.role), parameters)
    if row is None or row["found"] is None:
        raise NotFound(NO_PATIENT)
    if row["is_gone"]:
        raise Gone(INACTIVE)
    data: bytes = row["data"]
    return data


def show_member(membership: Membership) -> dict[str, str | None]:
    """One member, as the list shows them."""
    member = membership.member
    return {
        "userId": str(member.user_id),
        "name": membership.person.name,
        "council": membership.person.council,
        "origin": member.origin,
        "addedAt": time_text(member.added_at),
        "expiresAt": time_text(member.expires_at),
    }


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    known = "AND p.deleted_at IS NULL" if role is Role.PATIENT else ""
    event = event_insert(
        "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE",
        outcome="CASE WHEN f.deleted_at IS NULL AND f.id IS NOT NULL THEN 'success' ELSE 'refused' END",
        patient_id="f.id",
    )
    return f"""
        WITH found AS MATERIALIZED (
            SELECT p.id, p.deleted_at FROM patients p WHERE p.id = %(id)s {known}
        ), event AS ({event})
        SELECT f.id AS found, f.deleted_at IS NOT NULL AS is_gone,
            coalesce((
                SELECT json_agg(json_build_object(
                    'userId', u.id, 'name', u.full_name, 'council', u.council, 'origin', m.origin,
                    'addedAt', {sql_time("m.added_at")}, 'expiresAt', {sql_time("m.expires_at")}
                ) ORDER BY m.added_at, m.id)
                FROM care_team_members m JOIN users u ON u.id = m.user_id
                WHERE m.patient_id = f.id AND {CURRENT_MEMBER}
            ), '[]'::json)::text::bpchar AS data
        FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE
    """
