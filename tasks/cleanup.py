"""Deleting what has expired."""

from __future__ import annotations

import time

from celery import shared_task

from services.cleanup_expired import RULES, delete_batch
from tasks.base import BaseTask

CLEANUP_SECONDS = 300.0


@shared_task(name="cleanup.expired", bind=True)  # type: ignore[untyped-decorator]
def expired(self: BaseTask) -> dict[str, int]:
    """Delete expired rows, a short transaction a batch; what five minutes don't suffice for waits an hour. Gives the
    rows deleted by table; a table that its turn did not come for is not among them."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    deleted: dict[str, int] = {}
    for rule in RULES:
        count = rule.batch
        while count == rule.batch and time.monotonic() < deadline:
            with self.transaction() as session:
                count = delete_batch(session, rule)
            deleted[rule.table] = deleted.get(rule.table, 0) + count
    return deleted
