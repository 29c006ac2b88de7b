"""Whether who asked may still see an answer, and whether the record is what it rests on.

Gone is not the same as not allowed: what was inactivated since is said to be that, and only who lost access is told so.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import AiRequest, Allergy, MedicalRecord, Visit
from services.access import Standing, find_patient
from services.actor import Actor
from services.ai_gather import (
    ALLERGY_FIELDS,
    RECORD_FIELDS,
    VISIT_FIELDS,
    record_mask_of,
    restricted_visits,
    sources_seen,
    visible_fields,
    visit_mask_of,
)
from services.ai_refusal import require_no_refusal
from services.errors import Gone, NotFound
from services.masking import mask_for

NO_REQUEST = "There is no such question: it is somebody else's, or too long ago."
OVER = "Your access to this patient's record is not what it was when you asked. Ask again."
GONE = "A record that this answer rests on was inactivated since. Ask again."


def require_visible(session: Session, actor: Actor, row: AiRequest) -> tuple[bool, Standing]:
    """Whether it is old, and how the actor stands to the patient. Raises Forbidden, NotFound, Gone and Conflict (the
    patient refused) where it may not be seen now."""
    _, standing = find_patient(session, actor, row.patient_id)
    require_no_refusal(session, row.patient_id, since=row.created_at)
    if row.expires_at <= datetime.now(UTC):
        raise NotFound(NO_REQUEST)
    now = _sources_now(session, actor, standing, row)
    for given in row.inputs:
        if given["id"] in now and not set(given["fields"]) <= set(now[given["id"]].fields):
            raise NotFound(OVER)
    if not all(given["id"] in now for given in row.inputs):
        raise Gone(GONE)
    is_changed = any(now[given["id"]].version != given["version"] for given in row.inputs)
    return is_changed or _is_other(session, actor, standing, row), standing


@dataclass(frozen=True, slots=True)
class Now:
    """One source today: the fields that this actor sees of it in the clear, and its version."""

    fields: list[str]
    version: int | None


def _sources_now(session: Session, actor: Actor, standing: Standing, row: AiRequest) -> dict[str, Now]:
    """Id → what is there now, of all that is there still."""
    ids: dict[str, list[uuid.UUID]] = {kind: [] for kind in ("record", "visit", "allergy")}
    for given in row.inputs:
        ids[given["kind"]].append(uuid.UUID(given["id"]))
    records = select(MedicalRecord).where(MedicalRecord.id.in_(ids["record"]), MedicalRecord.deleted_at.is_(None))
    found = {
        str(each.id): Now(visible_fields(record_mask_of(each, actor, standing), RECORD_FIELDS), each.version)
        for each in session.scalars(records)
    }
    restricted = restricted_visits(session, ids["visit"])
    for visit in session.scalars(select(Visit).where(Visit.id.in_(ids["visit"]))):
        mask = visit_mask_of(visit, standing, is_restricted=visit.id in restricted)
        found[str(visit.id)] = Now(visible_fields(mask, VISIT_FIELDS), visit.version)
    allergy_fields = visible_fields(mask_for("allergy", standing.relation), ALLERGY_FIELDS)
    for allergy_id in session.scalars(select(Allergy.id).where(Allergy.id.in_(ids["allergy"]))):
        found[str(allergy_id)] = Now(allergy_fields, None)
    return found


def _is_other(session: Session, actor: Actor, standing: Standing, row: AiRequest) -> bool:
    """Whether the asker sees something else of the record than when they asked, besides what they made of the answer:
    written, restored, or opened to them. What is there is compared, since a record that was committed later may well be
    older. What was asked of one text alone is about that text."""
    if row.use == "CID10":
        return False
    seen = sources_seen(session, actor, standing, row.patient_id, without=row.led_to_id).ids()
    return sorted(seen, key=str) != sorted(row.visible or [], key=str)
