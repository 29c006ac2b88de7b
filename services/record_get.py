"""Read one medical record through the reader's mask, with its event, in one statement."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache

from models.engine import Databases
from models.user import Role
from services.access import CURRENT_MEMBER, NO_RECORD
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.errors import Gone, NotFound
from services.masking import role_relation
from services.masking_sql import BREAK_GLASS, sql_mask
from services.permissions import Permission
from services.record_sql import in_utc, inside, representation

INACTIVE = "This record was inactivated. Ask for it with includeDeleted=true, or restore it."


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """One record as JSON, and the entity tag of this view of it."""

    data: bytes
    etag: str  # "<version>" when all is clear, "<version>-<mask>" otherwise; quotes included


def etag(version: int, tag: str) -> str:
    """The entity tag of one version seen through one mask (RFC 9110 section 8.8.3)."""
    return f'"{version}-{tag}"' if tag else f'"{version}"'


def get_record(
    databases: Databases, actor: Actor, record_id: uuid.UUID, *, include_deleted: bool = False
) -> JsonRecord:
    """Raises Forbidden, NotFound, Gone (inactive, for those who may know), Unavailable."""
    return read_record(databases, actor, record_id, action="medical_record.read", include_deleted=include_deleted)


def read_record(
    databases: Databases, actor: Actor, record_id: uuid.UUID, *, action: str, include_deleted: bool
) -> JsonRecord:
    """The same for every act that shows one record; ``action`` names it in the event."""
    actor.require(Permission.RECORD_READ)
    event = Event(action=action, entity_type="medical_record", entity_id=record_id)
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "id": record_id,
        "include_deleted": include_deleted,
        **event_parameters(actor, event),
    }
    row = read(databases, actor, _statement(actor.role), parameters)
    if row is None or row["data"] is None:
        if row is not None and row["is_gone"]:
            raise Gone(INACTIVE)
        raise NotFound(NO_RECORD)
    return JsonRecord(in_utc(row["data"]), etag(row["version"], row["tag"]))


@lru_cache(maxsize=16)
def _statement(role: Role) -> str:
    """A row always comes back: an unknown or hidden record leaves a refused event and no data."""
    relation = role_relation(role, in_team=False).value
    basis = f"'{relation}'"
    grant = "NULL::uuid"
    if role.is_clinical:
        member = (
            "EXISTS (SELECT FROM care_team_members m WHERE m.patient_id = f.patient_id "
            f"AND m.user_id = %(me)s AND {CURRENT_MEMBER})"
        )
        broken = BREAK_GLASS.format(patient="f.patient_id")
        basis = (
            f"CASE WHEN {member} THEN 'care-team' WHEN EXISTS ({broken}) THEN 'break-glass' "
            f"WHEN f.author_id = %(me)s THEN 'author' ELSE '{relation}' END"
        )
        grant = (
            f"CASE WHEN NOT {member} THEN "
            f"({broken.replace('SELECT FROM', 'SELECT g.id FROM')} ORDER BY g.expires_at DESC LIMIT 1) END"
        )
    event = event_insert(
        "FROM (SELECT 1) AS always LEFT JOIN found f ON TRUE",
        outcome="CASE WHEN f.id IS NOT NULL AND (f.deleted_at IS NULL OR %(include_deleted)s) "
        "THEN 'success' ELSE 'refused' END",
        patient_id="f.patient_id",
        to_version="f.version",
        basis=basis,
        basis_id=grant,
    )
    mask = sql_mask("record", role)
    return f"""
        WITH found AS MATERIALIZED (
            SELECT s.* FROM (
                SELECT r.*, {inside(role)} AS inside FROM medical_records r WHERE r.id = %(id)s
            ) s WHERE s.deleted_at IS NULL OR s.inside
        ), event AS ({event})
        SELECT
            CASE WHEN s.id IS NOT NULL AND (s.deleted_at IS NULL OR %(include_deleted)s)
                THEN {representation(role)} END::text::bpchar AS data,
            s.version AS version, {mask.tag()} AS tag,
            s.deleted_at IS NOT NULL AND NOT %(include_deleted)s AS is_gone
        FROM (SELECT 1) AS always LEFT JOIN found s ON TRUE
    """
