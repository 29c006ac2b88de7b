"""What somebody may do with a record right now, by the same rules that the acts themselves are held to.

A page offers only what would not be refused. It decides nothing: each act checks again, on the locked row.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from models import BreakGlassGrant
from services.access import RecordAccess, find_record
from services.actor import Actor
from services.errors import Forbidden
from services.masking import SEES_RESTRICTED
from services.permissions import Permission
from services.record_close import check_closable
from services.record_create import check_amending
from services.record_fields import status_of
from services.record_inactivate import check_inactivatable
from services.record_update import changes_priority_only, check_updatable


@dataclass(frozen=True, slots=True)
class RecordActions:
    """What is possible, and until when. Times are None where they do not concern the actor."""

    version: int
    update: bool  # edit while it is open, correct one's own once it is closed
    priority_only: bool
    close: bool
    amend: bool
    inactivate: bool
    restore: bool
    break_glass: bool
    closes_at: datetime | None  # of an open, active record
    glass_until: datetime | None  # end of the emergency access through which the actor reads


def record_actions(session: Session, actor: Actor, record_id: uuid.UUID) -> RecordActions:
    """Gives nothing of the record but its version and its closing time, takes no lock and writes no event: the page
    that asks is itself an audited read. Raises Forbidden, NotFound."""
    actor.require(Permission.RECORD_READ)
    access = find_record(session, actor, record_id, inactive="show")
    record, standing = access.record, access.standing
    is_open = status_of(record, datetime.now(UTC)) == "OPEN"
    is_active = record.deleted_at is None
    grant = None if standing.grant_id is None else session.get(BreakGlassGrant, standing.grant_id)
    may_inactivate = _passes(check_inactivatable, actor, access)
    return RecordActions(
        version=record.version,
        update=is_active and _passes(check_updatable, actor, access),
        priority_only=changes_priority_only(actor, access),
        close=is_active and is_open and _passes(check_closable, actor, access),
        amend=is_active and record.amends_id is None and _passes(check_amending, actor, standing),
        inactivate=is_active and may_inactivate,
        restore=not is_active and may_inactivate,
        break_glass=_may_break_glass(actor, access),
        closes_at=record.closes_at if is_active and is_open and access.relation in SEES_RESTRICTED else None,
        glass_until=None if grant is None else grant.expires_at,
    )


def _may_break_glass(actor: Actor, access: RecordAccess) -> bool:
    """From outside, where something is masked: an author sees what they wrote without it."""
    return (
        actor.may(Permission.BREAK_GLASS)
        and access.relation not in SEES_RESTRICTED
        and access.patient.deleted_at is None
    )


def _passes(check: Callable[..., None], *args: Any) -> bool:
    try:
        check(*args)
    except Forbidden:
        return False
    return True
