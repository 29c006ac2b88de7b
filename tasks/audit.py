"""Sealing the trail, signing it, and its partitions made ahead."""

from __future__ import annotations

import time

from celery import shared_task

from observability.task_metrics import EVENTS_SEALED
from services.audit_checkpoint import signer_of, write_checkpoint
from services.audit_drain import BATCH, ensure_partitions
from services.audit_drain import drain as seal
from tasks.base import BaseTask
from tasks.runtime import settings

DRAIN_SECONDS = 20.0


# No retry: the scheduler wakes it again within two seconds while anything waits.
@shared_task(name="audit.drain", bind=True, autoretry_for=(), soft_time_limit=60, time_limit=90)  # type: ignore[untyped-decorator]
def drain(self: BaseTask) -> int:
    """Seal what waits, a transaction a batch, until nothing does or twenty seconds have passed.

    A batch with room left took all there was. What was committed since then has its own wake-up on the way.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    sealed = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            drained = seal(session)
        sealed += drained.count
        EVENTS_SEALED.inc(drained.count)
        if drained.count < BATCH:
            break
    return sealed


# No retry: the scheduler looks again within the minute, and what may not be signed stays so until somebody looks.
@shared_task(name="audit.checkpoint", bind=True, autoretry_for=())  # type: ignore[untyped-decorator]
def checkpoint(self: BaseTask) -> None:
    """Sign what was sealed since the last checkpoint."""
    with self.transaction() as session:
        write_checkpoint(session, signer_of(settings()))


@shared_task(name="audit.partitions", bind=True)  # type: ignore[untyped-decorator]
def partitions(self: BaseTask) -> int:
    """Make the partitions of the months to come, so that no drain waits for readers to make one."""
    with self.transaction() as session:
        return ensure_partitions(session)
