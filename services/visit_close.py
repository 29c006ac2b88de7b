"""Close a visit: the patient was seen, or left."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from models import CareTeamMember, Patient, Visit
from services.actor import Actor
from services.errors import Conflict, Invalid
from services.field_encryption import FieldCipher
from services.permissions import Permission
from services.visit_create import require_desk
from services.visit_fields import CLOSED, OPEN
from services.visit_write import content_of, find_visit, save

STAYS_IN_TEAM = timedelta(hours=24)


def close_visit(
    session: Session, actor: Actor, cipher: FieldCipher, visit_id: uuid.UUID, *, status: str | None = None
) -> tuple[Visit, Patient]:
    """``status`` is DONE or LEFT; left out, DONE for a patient in care and LEFT for one still waiting.

    The doctor whom the visit brought into the care team leaves it 24 hours later (PRODUCT).
    Raises Forbidden, NotFound, Invalid, Conflict (closed already).
    """
    actor.require(Permission.VISIT_WRITE)
    visit, patient, standing = find_visit(session, actor, visit_id)
    require_desk(actor, standing)
    if status is not None and status not in CLOSED:
        raise Invalid.at("/status", f"one of {', '.join(CLOSED)}")
    if visit.status not in OPEN:
        raise Conflict("This visit is closed already.")
    before = content_of(visit)
    now = datetime.now(UTC)
    visit.status = status or ("DONE" if visit.status == "IN_CARE" else "LEFT")
    visit.closed_at = now
    save(session, actor, cipher, visit, patient, standing, action="visit.close", before=before)
    session.execute(
        update(CareTeamMember)
        .where(
            CareTeamMember.patient_id == patient.id,
            CareTeamMember.visit_id == visit.id,
            CareTeamMember.origin == "VISIT",
            CareTeamMember.removed_at.is_(None),
        )
        .values(expires_at=now + STAYS_IN_TEAM)
    )
    return visit, patient
