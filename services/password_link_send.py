"""Send links to choose a password. The secret is born here, in the worker, and leaves with the mail.

What is kept is its SHA-256, stored before the mail goes, so the link works as soon as it is read. Whoever dies in
between sends again, under a new secret: the newest mail is the one that works. No administrator, page or table ever
holds a link (SBIS NGS1.03).
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from config import Settings
from integrations.mail import Mailer
from models import PasswordLink, User
from models.invitation import WAITING
from services.audit_event import SYSTEM, Event, record
from services.authenticate import secret_hash
from services.mail_send import LEASE, Failure, send_mail
from services.password_link_words import words_for

SECRET_BYTES = 32  # 256 bits
LIFETIME = timedelta(hours=72)
LONGEST_PAUSE = timedelta(hours=1)
MOST_ATTEMPTS = 30  # about a day

# What waits and is due: the worker's and the scheduler's one condition.
DUE = f"{WAITING} AND next_attempt_at <= now()"


@dataclass(frozen=True, slots=True)
class ClaimedLink:
    """A link that this worker sends. ``secret`` lives as long as this object."""

    link_id: uuid.UUID
    user_id: uuid.UUID
    kind: str
    attempts: int  # this one included
    email: str
    name: str
    locale: str
    secret: str


def claim_link(session: Session) -> ClaimedLink | None:
    """The next link that is due, with a new secret; None when nothing is. Commit before sending it."""
    row = session.execute(
        select(PasswordLink.id, PasswordLink.user_id, PasswordLink.kind, PasswordLink.attempts)
        .where(text(DUE))
        .order_by(PasswordLink.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    user = session.execute(select(User.email, User.full_name, User.locale).where(User.id == row.user_id)).one()
    secret = secrets.token_urlsafe(SECRET_BYTES)
    session.execute(
        update(PasswordLink)
        .where(PasswordLink.id == row.id)
        .values(
            secret_hash=secret_hash(secret),
            expires_at=func.now() + LIFETIME,
            attempts=row.attempts + 1,
            next_attempt_at=func.now() + LEASE,
        )
    )
    return ClaimedLink(row.id, row.user_id, row.kind, row.attempts + 1, *user, secret)


def send_link(mailer: Mailer, settings: Settings, claimed: ClaimedLink) -> Failure | None:
    """Write the mail and hand it over; None when it left, else why not."""
    words = words_for(claimed.kind, claimed.locale)
    values = {
        "name": claimed.name,
        "clinic": settings.clinic_name,
        "hours": int(LIFETIME.total_seconds() // 3600),
        "link": f"{settings.base_url}/invitations/{claimed.secret}",
    }
    return send_mail(
        mailer, settings, recipient=claimed.email, subject=words.subject.format(**values),
        text=words.text.format(**values), message_id=f"{claimed.link_id}.{claimed.attempts}",
    )  # fmt: skip


def note_outcome(session: Session, claimed: ClaimedLink, failure: Failure | None) -> None:
    """Keep what came of it: sent, to be tried again, or given up."""
    values: dict[str, Any]
    if failure is None:
        values = {"sent_at": func.now(), "failure": None}
        record(session, SYSTEM, Event("user.send_link", "user", claimed.user_id))
    elif failure == "refused" or claimed.attempts >= MOST_ATTEMPTS:
        # A link that nobody was sent opens nothing.
        values = {"failed_at": func.now(), "failure": failure, "secret_hash": None, "expires_at": None}
        record(session, SYSTEM, Event("user.send_link", "user", claimed.user_id, outcome="failure"))
    else:
        pause = min(timedelta(seconds=15 * 2 ** min(claimed.attempts, 12)), LONGEST_PAUSE)
        values = {"next_attempt_at": func.now() + pause, "failure": failure}
    session.execute(update(PasswordLink).where(PasswordLink.id == claimed.link_id).values(values))
