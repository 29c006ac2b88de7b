"""Looking through the trail for unusual accesses."""

from __future__ import annotations

import time

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from services.access_watch import catch_up, rules_behind, watch_accesses
from tasks.base import BaseTask
from tasks.runtime import settings

LOOK_SECONDS = 10.0  # who waits for a mail waits behind it
ENDS = (SoftTimeLimitExceeded,)


class RulesBehind(Exception):
    """Rules fail, and what they would have found since is not found yet; the log names them."""


# No retry: the scheduler looks every few seconds whether something was sealed that nobody looked through.
@shared_task(name="access.watch", bind=True, autoretry_for=(), soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def watch(self: BaseTask) -> int:
    """Look through what was sealed, a transaction a stretch, until that was all or ten seconds have passed; gives how
    many alerts are new."""
    zone = settings().timezone
    deadline = time.monotonic() + LOOK_SECONDS
    alerts = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            looked = watch_accesses(session, zone, ends=ENDS)
        alerts += looked.alerts
        if looked.is_done:
            break
    return alerts


# No retry: each rule has its own next time.
@shared_task(name="access.catch_up", bind=True, autoretry_for=(), soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def catch_up_rules(self: BaseTask) -> int:
    """Let rules that failed look through what they missed; gives how many alerts are new. While one can't, that is a
    failure for an operator to see, though what is not due is not tried."""
    zone = settings().timezone
    deadline = time.monotonic() + LOOK_SECONDS
    alerts = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            looked = catch_up(session, zone, ends=ENDS)
        if looked is None:
            break
        alerts += looked.alerts
    with self.transaction() as session:
        behind = rules_behind(session)
    if behind:
        raise RulesBehind(", ".join(behind))
    return alerts
