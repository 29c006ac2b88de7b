"""Mail that a row for each person says they are owed: one worker has it for as long as a mail server is waited for."""

from __future__ import annotations

import uuid
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import AccessAlertDigest, BackupMail, SystemDigest
from services.mail_send import LEASE

Owed = TypeVar("Owed", AccessAlertDigest, BackupMail, SystemDigest)


def due_row(session: Session, kind: type[Owed], user_id: uuid.UUID) -> Owed | None:
    """Locked; None where its next attempt is not due, or another worker has it."""
    return session.scalars(
        select(kind)
        .where(kind.user_id == user_id, kind.next_attempt_at <= func.now())
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()


def take(session: Session, row: Owed) -> None:
    """One attempt more; nobody else's until the lease is over."""
    row.attempts += 1
    row.next_attempt_at = func.now() + LEASE
    session.flush()
