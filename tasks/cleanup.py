"""Deleting what has expired."""

from __future__ import annotations

import time

from celery import shared_task

from services.cleanup_expired import RULES, delete_batch
from tasks.base import BaseTask

CLEANUP_SECONDS = 300.0


@shared_task(name="cleanup.expired", bind=True)  # type: ignore[untyped-decorator]
def expired(self: BaseTask) -> int:
    """Delete expired rows, a short transaction a batch; what five minutes don't suffice for waits an hour."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    deleted = 0
    for rule in RULES:
        count = rule.batch
        while count == rule.batch and time.monotonic() < deadline:
            with self.transaction() as session:
                count = delete_batch(session, rule)
            deleted += count
    return deleted
