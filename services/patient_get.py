"""Read one patient through the reader's mask, with its event, in one statement."""

from __future__ import annotations

import uuid
from functools import lru_cache

import orjson

from models.engine import Databases
from models.user import Role
from services.access import CURRENT_MEMBER, NO_PATIENT
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.errors import Gone, NotFound
from services.field_encryption import FieldCipher
from services.masking import role_relation
from services.masking_sql import BREAK_GLASS
from services.patient_view import inside, represent, row_mask, sql_row
from services.permissions import Permission
from services.record_get import JsonRecord, etag

INACTIVE = "This patient was inactivated. Ask with includeDeleted=true, or restore them."


def get_patient(
    databases: Databases, actor: Actor, cipher: FieldCipher, patient_id: uuid.UUID, *, include_deleted: bool = False
) -> JsonRecord:
    """Raises Forbidden, NotFound (for a PATIENT anybody but themselves), Gone (to staff), Unavailable."""
    actor.require(Permission.PATIENT_READ)
    event = Event(action="patient.read", entity_type="patient", entity_id=patient_id)
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "id": patient_id,
        "include_deleted": include_deleted,
        **event_parameters(actor, event),
    }
    row = read(databases, actor, _statement(actor.role), parameters)
    if row is None or row["data"] is None:
        if row is not None and row["is_gone"]:
            raise Gone(INACTIVE)
        raise NotFound(NO_PATIENT)
    values = orjson.loads(row["data"])
    shown = represent(cipher, actor.role, values)
    return JsonRecord(orjson.dumps(shown), etag(values["version"], row_mask(actor.role, values).tag))


@lru_cache(maxsize=8)
def _statement(role: Role) -> str:
    """A row always comes back: an unknown patient leaves a refused event and no data."""
    relation = role_relation(role, in_team=False).value
    basis, grant = f"'{relation}'", "NULL::uuid"
    if role.is_clinical:
        member = (
            "EXISTS (SELECT FROM care_team_members m WHERE m.patient_id = f.id "
            f"AND m.user_id = %(me)s AND {CURRENT_MEMBER})"
        )
        broken = BREAK_GLASS.format(patient="f.id")
        basis = f"CASE WHEN {member} THEN 'care-team' WHEN EXISTS ({broken}) THEN 'break-glass' ELSE '{relation}' END"
        grant = (
            f"CASE WHEN NOT {member} THEN "
            f"({broken.replace('SELECT FROM', 'SELECT g.id FROM')} ORDER BY g.expires_at DESC LIMIT 1) END"
        )
    shows = "(f.deleted_at IS NULL OR %(include_deleted)s)"
    event = event_insert(
        "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE",
        outcome=f"CASE WHEN f.id IS NOT NULL AND {shows} THEN 'success' ELSE 'refused' END",
        patient_id="f.id",
        to_version="f.version",
        basis=basis,
        basis_id=grant,
    )
    known = "AND p.deleted_at IS NULL" if role is Role.PATIENT else ""
    return f"""
        WITH found AS MATERIALIZED (
            SELECT p.*, {inside(role)} AS inside FROM patients p WHERE p.id = %(id)s {known}
        ), event AS ({event})
        SELECT
            CASE WHEN s.id IS NOT NULL AND {shows.replace("f.", "s.")} THEN {sql_row(role)} END::text AS data,
            s.deleted_at IS NOT NULL AND NOT %(include_deleted)s AS is_gone
        FROM (SELECT 1) AS always LEFT JOIN found s ON TRUE
    """
