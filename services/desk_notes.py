"""What waits for one person at their desk: notices not read yet, and text of theirs not saved yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.actor import Actor

NOTES = text(
    """
    SELECT n.number AS notices, n.newest AS newest_notice, d.number AS drafts, d.newest AS newest_draft
    FROM (
        SELECT count(*) AS number, max(created_at) AS newest FROM notifications
        WHERE user_id = :me AND read_at IS NULL
    ) n, (
        SELECT count(*) AS number, max(updated_at) AS newest FROM drafts WHERE user_id = :me AND expires_at > now()
    ) d
    """
)


@dataclass(frozen=True, slots=True)
class DeskNotes:
    """How many, and since when. Neither says about whom: the pages that list them go through the mask."""

    notices: int
    newest_notice: datetime | None
    drafts: int
    newest_draft: datetime | None


def desk_notes(session: Session, actor: Actor) -> DeskNotes:
    row = session.execute(NOTES, {"me": actor.user_id}).one()
    return DeskNotes(row.notices, row.newest_notice, row.drafts, row.newest_draft)
