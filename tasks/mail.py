"""What leaves for elsewhere: links, whose secret is made here a moment before, checkpoints, word of unusual
accesses, of backups, and of how the installation stands. Rows say to whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.orm import Session

from config import Settings
from integrations.mail import make_mailer
from services import system_digest_mail
from services.access_alert_mail import claim_digest, note_digest, send_digest
from services.backup_mail import claim_standing, note_standing, send_standing
from services.checkpoint_deliver import Claimed, claim_delivery, deliver, note_delivery
from services.mail_send import Failure
from services.password_link_send import claim_link, note_outcome, send_link
from tasks.base import BaseTask
from tasks.runtime import settings

SEND_SECONDS = 60.0
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

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
    return _each(self, claim_link, lambda link: send_link(mailer, here, link), note_outcome)


@shared_task(name="mail.checkpoints", bind=True, autoretry_for=(), max_retries=1, soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def checkpoints(self: BaseTask) -> int:
    """Hand the newest checkpoint to every place that is owed it; gives how many have it now."""
    here = settings()

    def claim(session: Session) -> Claimed | None:
        return claim_delivery(session, here)

    def act(delivery: Claimed) -> str | None:
        return _hand_over(here, delivery)

    def note(session: Session, delivery: Claimed, failure: str | None) -> None:
        note_delivery(session, here, delivery, failure)

    return _each(self, claim, act, note)


@shared_task(name="mail.alerts", bind=True, autoretry_for=(), soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def alerts(self: BaseTask) -> int:
    """Tell auditors what waits for a review; gives how many mails left."""
    here = settings()
    mailer = make_mailer(here)
    if mailer is None:
        return 0  # told for links, which cannot do without
    return _each(self, claim_digest, lambda digest: send_digest(mailer, here, digest), note_digest)


@shared_task(name="mail.digest", bind=True, autoretry_for=(), soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def digest(self: BaseTask) -> int:
    """Tell administrators how the installation stands; gives how many mails left. Begun by the clock, and again while
    some did not leave."""
    here, now = settings(), datetime.now(UTC)
    mailer = make_mailer(here)
    if mailer is None:
        return 0  # told for links, which cannot do without
    with self.transaction() as session:
        system_digest_mail.owe_digests(session, here, now)

    def claim(session: Session) -> system_digest_mail.Digest | None:
        return system_digest_mail.claim_digest(session, here, now)

    def act(owed: system_digest_mail.Digest) -> Failure | None:
        return system_digest_mail.send_digest(mailer, here, owed, now)

    return _each(self, claim, act, system_digest_mail.note_digest)


@shared_task(name="mail.backups", bind=True, autoretry_for=(), soft_time_limit=150, time_limit=180)  # type: ignore[untyped-decorator]
def backups(self: BaseTask) -> int:
    """Tell administrators that backups need looking at, or are well again; gives how many mails left."""
    here = settings()
    mailer = make_mailer(here)
    if mailer is None:
        return 0  # told for links, which cannot do without
    return _each(self, claim_standing, lambda mail: send_standing(mailer, here, mail), note_standing)


def _hand_over(here: Settings, delivery: Claimed) -> str | None:
    try:
        failure = deliver(here, delivery)
    except SoftTimeLimitExceeded:
        failure = "took too long"
    if failure is not None:
        log.warning("checkpoint not delivered", sink=delivery.name, error=failure, attempts=delivery.attempts)
    return failure


def _each(
    task: BaseTask,
    claim: Callable[[Session], Item | None],
    act: Callable[[Item], Outcome],
    note: Callable[[Session, Item, Outcome], None],
) -> int:
    """Claim, act and note what is due, one after the other for a minute; gives how many times nothing failed. No
    transaction is open while somebody else's server is spoken to."""
    deadline = time.monotonic() + SEND_SECONDS
    done = 0
    while time.monotonic() < deadline:
        with task.transaction() as session:
            item = claim(session)
        if item is None:
            break
        failure = act(item)
        with task.transaction() as session:
            note(session, item, failure)
        done += failure is None
    return done
