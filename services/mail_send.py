"""Hand one mail over, whatever it is about: that it left, was refused, or may leave later."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import structlog

from config import Settings
from integrations.mail import Mailer, MailRefused, MailUnavailable, compose

Failure = Literal["refused", "unreachable"]
LEASE = timedelta(minutes=5)  # longer than a mail server is waited for
LONGEST_PAUSE = timedelta(hours=1)
REFUSED_PAUSE = timedelta(days=1)  # an address that takes no mail may be put right
log = structlog.get_logger()


def send_mail(
    mailer: Mailer, settings: Settings, *, recipient: str, subject: str, text: str, message_id: str
) -> Failure | None:
    """None when it left, else why not: ``refused`` is for good. ``message_id`` holds nothing that is secret: it is what
    the log knows the mail by."""
    try:
        message = compose(
            sender=mailer.sender, sender_name=settings.clinic_name, recipient=recipient, subject=subject, text=text,
            message_id=message_id,
        )  # fmt: skip
        mailer.send(message, recipient)
    except (MailRefused, ValueError) as error:
        log.warning("mail refused", message_id=message_id, error=type(error).__name__)
        return "refused"
    except MailUnavailable as error:
        log.warning("mail not sent", message_id=message_id, error=str(error))
        return "unreachable"
    return None


def pause_after(failure: Failure, attempts: int) -> timedelta:
    """How long until the next, after so many that failed."""
    return REFUSED_PAUSE if failure == "refused" else min(timedelta(seconds=15 * 2 ** min(attempts, 12)), LONGEST_PAUSE)
