"""Deleting what has expired."""

from __future__ import annotations

import time

import structlog
from celery import shared_task

from services.cleanup_expired import RULES, Rule, TooSlow, delete_batch
from tasks.base import BaseTask

log = structlog.get_logger()

CLEANUP_SECONDS = 300.0


@shared_task(name="cleanup.expired", bind=True)  # type: ignore[untyped-decorator]
def expired(self: BaseTask) -> dict[str, int]:
    """Delete expired rows, a short transaction a batch; what five minutes don't suffice for waits an hour. Gives the
    rows deleted, or emptied, by rule; one that its turn did not come for is not among them."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    deleted: dict[str, int] = {}
    for rule in RULES:
        if time.monotonic() < deadline:
            deleted[rule.name] = _delete_all(self, rule, deadline)
    return deleted


def _delete_all(self: BaseTask, rule: Rule, deadline: float) -> int:
    """The rows deleted. A batch that takes too long to hold locks for is halved; when one row alone does, as behind
    somebody else's lock, the rest waits for the next run."""
    total, most, count = 0, rule.batch, rule.batch
    while count == most and time.monotonic() < deadline:
        try:
            with self.transaction() as session:
                count = delete_batch(session, rule, most)
        except TooSlow:
            log.warning("clean-up batch too slow", rule=rule.name, rows=most)
            if most == 1:
                break
            most = count = most // 2
        else:
            total += count
    return total
