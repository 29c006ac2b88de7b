"""Background work that failed for good, without a worker."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select

from config import Principal
from integrations.broker import queue_of
from models import DeadLetter, new_id
from models.engine import Databases
from services.dead_letter_keep import Failure, keep_dead_letter


def make_dead_letter(
    databases: Databases, task: str = "imports.run", *, slot: datetime | None = None, error: str = "KeyError",
    attempts: int = 1, **arguments: Any,
) -> uuid.UUID:
    """The id of a row of its own: with arguments that no other has, unless they are given."""
    given = arguments or {"work_id": str(new_id())}
    failure = Failure(task, queue_of(task), given, slot, error, str(new_id()), attempts)
    with databases.session(Principal.WORKER) as session:
        keep_dead_letter(session, failure)
        return session.scalars(select(DeadLetter.id).where(DeadLetter.task_id == failure.task_id)).one()
