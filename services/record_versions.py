"""What a record was at each version, through the mask of whoever reads it now."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import RecordVersion
from models.base import VERSION_MAX
from services.access import RecordAccess, find_record
from services.actor import Actor
from services.audit_event import Event, record
from services.author import Author, authors_of
from services.errors import NotFound
from services.masking import Relation, apply, mask_for
from services.permissions import Permission
from services.record_fields import time_text


def list_versions(session: Session, actor: Actor, record_id: uuid.UUID) -> list[dict[str, Any]]:
    """All versions, newest first. Raises Forbidden, NotFound."""
    access = _readable(session, actor, record_id)
    versions = session.scalars(
        select(RecordVersion).where(RecordVersion.record_id == record_id).order_by(RecordVersion.version.desc())
    ).all()
    authors = authors_of(session, [version.changed_by for version in versions])
    _write_event(session, actor, access, None)
    return [_show(access, version, authors) for version in versions]


def get_version(session: Session, actor: Actor, record_id: uuid.UUID, number: int) -> dict[str, Any]:
    """One version. Raises Forbidden, NotFound."""
    access = _readable(session, actor, record_id)
    version = session.get(RecordVersion, (record_id, number)) if number <= VERSION_MAX else None
    if version is None:
        raise NotFound("This record has no such version.")
    _write_event(session, actor, access, number)
    return _show(access, version, authors_of(session, [version.changed_by]))


def _readable(session: Session, actor: Actor, record_id: uuid.UUID) -> RecordAccess:
    actor.require(Permission.RECORD_READ)
    return find_record(session, actor, record_id, inactive="show")


def _write_event(session: Session, actor: Actor, access: RecordAccess, version: int | None) -> None:
    record(
        session,
        actor,
        Event(
            action="medical_record.read_versions",
            entity_type="medical_record",
            entity_id=access.record.id,
            patient_id=access.record.patient_id,
            to_version=version,
            basis=access.basis,
            basis_id=access.standing.grant_id,
        ),
    )


def _show(access: RecordAccess, version: RecordVersion, authors: dict[uuid.UUID, Author]) -> dict[str, Any]:
    """A version is as restricted as the record is now or was then, whichever is stricter. Who wrote it and
    when are its caption; why is clinical text."""
    content = dict(version.content)
    author = authors.get(version.changed_by) if version.changed_by else None
    restricted = access.record.restricted or bool(content.get("restricted"))
    mask = mask_for("record", access.relation, restricted=restricted)
    shown = apply(mask, {name: value for name, value in content.items() if name != "closesAt"})
    sees_reason = access.relation in (Relation.CARE_TEAM, Relation.OWN)
    return {
        "recordId": str(access.record.id),
        "version": version.version,
        "changedAt": time_text(version.changed_at),
        "changedBy": None if author is None else author.shown(),
        "reason": version.reason if sees_reason else None,
        **shown,
        "privacy": mask.privacy(),
    }
