"""What leaves for elsewhere: links, whose secret is made here a moment before, checkpoints, and word of unusual
accesses. Rows say to whom."""

from __future__ import annotations

import time

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from integrations.mail import make_mailer
from services.access_alert_mail import claim_digest, note_digest, send_digest
from services.checkpoint_deliver import claim_delivery, deliver, note_delivery
from services.password_link_send import claim_link, note_outcome, send_link
from tasks.base import BaseTask
from tasks.runtime import settings

SEND_SECONDS = 60.0

log = structlog.get_logger()


# No retry: the rows say when the next attempt is due, and the scheduler looks every few seconds.
@shared_task(name="mail.send", bind=True, autoretry_for=(), max_retries=1, soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def send(self: BaseTask) -> int:
    """Send what is due; gives how many left. No transaction is open while a mail server is spoken to."""
    here = settings()
    mailer = make_mailer(here)
    if mailer is None:
        log.warning("mail waits: SMTP_URL or PUBLIC_URL is not set")
        return 0
    deadline = time.monotonic() + SEND_SECONDS
    sent = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            claimed = claim_link(session)
        if claimed is None:
            break
        outcome = send_link(mailer, here, claimed)
        with self.transaction() as session:
            note_outcome(session, claimed, outcome)
        sent += outcome is None
    return sent


@shared_task(name="mail.checkpoints", bind=True, autoretry_for=(), max_retries=1, soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def checkpoints(self: BaseTask) -> int:
    """Hand the newest checkpoint to every place that is owed it; gives how many have it now."""
    here = settings()
    deadline = time.monotonic() + SEND_SECONDS
    kept = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            claimed = claim_delivery(session, here)
        if claimed is None:
            break
        try:
            failure = deliver(here, claimed)
        except SoftTimeLimitExceeded:
            failure = "took too long"
        with self.transaction() as session:
            note_delivery(session, here, claimed, failure)
        if failure is not None:
            log.warning("checkpoint not delivered", sink=claimed.name, error=failure, attempts=claimed.attempts)
        kept += failure is None
    return kept


@shared_task(name="mail.alerts", bind=True, autoretry_for=(), soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def alerts(self: BaseTask) -> int:
    """Tell auditors what waits for a review; gives how many mails left."""
    here = settings()
    mailer = make_mailer(here)
    if mailer is None:
        return 0  # told for links, which cannot do without
    deadline = time.monotonic() + SEND_SECONDS
    sent = 0
    while time.monotonic() < deadline:
        with self.transaction() as session:
            claimed = claim_digest(session)
        if claimed is None:
            break
        outcome = send_digest(mailer, here, claimed)
        with self.transaction() as session:
            note_digest(session, claimed, outcome)
        sent += outcome is None
    return sent
