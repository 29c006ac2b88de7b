"""Keep what failed for good, for an operator to see; and let go of it when the same work succeeds later.

What the scheduler starts anew fails again and again while its cause lasts: it is one row, counted up. A row that
resolved itself is opened again by the next failure, so there are never more rows than kinds of work, and those that
somebody dismissed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, case, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import DeadLetter

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
UNNAMED = "Exception"  # in place of a class that is called what none is


@dataclass(frozen=True, slots=True)
class Failure:
    """``error`` is the name of the exception's class; ``attempts`` those of this message alone."""

    task: str
    queue: str
    arguments: Mapping[str, Any]
    slot: datetime | None
    error: str
    task_id: str
    attempts: int


def keep_dead_letter(session: Session, failure: Failure) -> None:
    """Write ``failure`` down, or count it where the same work (task and arguments) failed before."""
    values = {
        "task": failure.task,
        "queue": failure.queue,
        "arguments": ids_of(failure.arguments),
        "slot": failure.slot,
        "error": failure.error if NAME.fullmatch(failure.error) else UNNAMED,
        "task_id": failure.task_id,
        "attempts": failure.attempts,
    }
    statement = insert(DeadLetter).values(**values)
    new, is_open = statement.excluded, DeadLetter.resolved_at.is_(None)
    # One message fails once, whoever tells of it again: Celery tells its parent process twice of a hard limit.
    is_told = is_open & (DeadLetter.task_id == new.task_id)
    attempts = case(
        (is_told, func.greatest(DeadLetter.attempts, new.attempts)),
        (is_open, DeadLetter.attempts + new.attempts),
        else_=new.attempts,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["task", "arguments"],
            index_where=DeadLetter.dismissed_by.is_(None),
            set_={
                "queue": new.queue,
                "slot": new.slot,
                "error": new.error,
                "task_id": new.task_id,
                "attempts": attempts,
                "first_failed_at": case((is_open, DeadLetter.first_failed_at), else_=func.now()),
                "failed_at": func.now(),
                "retried_at": case((is_open, DeadLetter.retried_at), else_=None),
                "retried_by": case((is_open, DeadLetter.retried_by), else_=None),
                "resolved_at": None,
            },
        )
    )


def resolve_dead_letter(session: Session, task: str, arguments: Mapping[str, Any]) -> bool:
    """``task`` has succeeded with ``arguments``: whether that had failed, and no longer counts."""
    result = session.execute(
        update(DeadLetter)
        .where(DeadLetter.task == task, DeadLetter.arguments == ids_of(arguments))
        .where(DeadLetter.dismissed_by.is_(None), DeadLetter.resolved_at.is_(None))
        .values(resolved_at=func.now())
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)  # noqa: S101  (an UPDATE gives no other)
    return result.rowcount > 0


def ids_of(arguments: Mapping[str, Any]) -> dict[str, str | int | None]:
    """``arguments`` as they are kept: ids and numbers, and null in place of whatever else, which may be anybody's."""
    return {name: value if _is_id(value) else None for name, value in arguments.items()}


def _is_id(value: Any) -> bool:
    if isinstance(value, int):
        return True
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False
