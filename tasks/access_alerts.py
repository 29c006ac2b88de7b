"""Looking through the trail for unusual accesses."""

from __future__ import annotations

import time

from celery import shared_task

from services.access_watch import watch_accesses
from tasks.base import BaseTask
from tasks.runtime import settings

LOOK_SECONDS = 60.0


# No retry: the scheduler looks every few seconds whether something was sealed that nobody looked through.
@shared_task(name="access.watch", bind=True, autoretry_for=(), soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def watch(self: BaseTask) -> int:
    """Look through what was sealed, a transaction a stretch, until that was all or a minute has passed; gives how many
    alerts are new."""
    zone = settings().timezone
    deadline = time.monotonic() + LOOK_SECONDS
    alerts = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            looked = watch_accesses(session, zone)
        alerts += looked.alerts
        if looked.is_done:
            break
    return alerts
