"""Tell administrators by mail when backups need looking at, and once when they are well again.

A row for each administrator says which troubles they were told of last, those of the archive of changes among them: a
mail leaves when there is another, and when one is over. It is over when nothing is being made or drilled, so that
nobody is told so between a backup and its drill, and what comes and goes meanwhile is one mail; all is well once there
is a good backup. What went out and was not noted goes out again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Settings
from integrations.mail import Mailer
from models import BackupMail, new_id
from services.backup_mail_words import words_for
from services.backup_standing import ALERTS, AT_WORK, GOOD_AT
from services.base_backups import ALERTS as BASE_ALERTS
from services.mail_owed import due_row, take
from services.mail_send import Failure, pause_after, send_mail

PAUSE = timedelta(minutes=10)  # between two mails to one person

# On its first day a clinic has no backup, and nobody is late.
ALERTS_NOW = f"""
    CASE WHEN {GOOD_AT} IS NULL AND (SELECT min(created_at) > now() - interval '26 hours' FROM users)
        THEN array_remove({ALERTS}, 'late') ELSE {ALERTS} END || {BASE_ALERTS}
"""
# Administrators (``u``) whom something is owed, with what they were told of (``m``) and how it stands (``s``).
OWED = f"""
    FROM users u LEFT JOIN backup_mails m ON m.user_id = u.id,
        (SELECT {ALERTS_NOW} AS alerts, {AT_WORK} AS is_at_work, {GOOD_AT} AS good_at OFFSET 0) s
    WHERE u.disabled_at IS NULL
    AND EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.id AND r.role = 'ADMIN')
    AND coalesce(m.next_attempt_at <= now(), TRUE)
    AND (NOT s.alerts <@ coalesce(m.told, '{{}}') OR (NOT m.told <@ s.alerts AND NOT s.is_at_work
        AND (s.alerts <> '{{}}' OR s.good_at IS NOT NULL)))
"""
DUE = f"EXISTS (SELECT {OWED})"
NEXT = text(
    "SELECT u.id, u.email, u.full_name, u.locale, s.alerts, s.good_at, s.is_at_work"
    f" {OWED} ORDER BY m.next_attempt_at NULLS FIRST, u.id LIMIT 20"
)


@dataclass(frozen=True, slots=True)
class StandingMail:
    """A mail that this worker sends. ``alerts``: what is wrong, nothing where all is well again; ``good_at``: when the
    newest good backup was made; ``told``: of what they were told with it; ``attempts``: this one included."""

    user_id: uuid.UUID
    email: str
    name: str
    locale: str
    alerts: list[str]
    good_at: datetime | None
    told: list[str]
    attempts: int


def claim_standing(session: Session) -> StandingMail | None:
    """The next mail that is owed; None when none is. Commit before sending it."""
    for owed in session.execute(NEXT).all():
        session.execute(insert(BackupMail).values(user_id=owed.id).on_conflict_do_nothing())
        row = due_row(session, BackupMail, owed.id)
        if row is None:
            continue  # another worker's
        take(session, row)
        told = sorted({*row.told, *owed.alerts}) if owed.is_at_work else owed.alerts
        return StandingMail(
            owed.id, owed.email, owed.full_name, owed.locale, owed.alerts, owed.good_at, told, row.attempts
        )
    return None


def send_standing(mailer: Mailer, settings: Settings, mail: StandingMail) -> Failure | None:
    """Write the mail and hand it over; None when it left, else why not."""
    words = words_for(mail.locale)
    good = words.none if mail.good_at is None else mail.good_at.astimezone(settings.timezone).strftime(words.moment)
    values = {
        "name": mail.name, "clinic": settings.clinic_name, "good": good, "link": f"{settings.base_url}/backups",
        "lines": "\n".join(words.alerts[name] for name in mail.alerts),
    }  # fmt: skip
    subject, body = (words.subject, words.text) if mail.alerts else (words.well_subject, words.well_text)
    return send_mail(
        mailer, settings, recipient=mail.email, subject=subject.format(**values), text=body.format(**values),
        message_id=f"backups.{mail.user_id}.{new_id()}",
    )  # fmt: skip


def note_standing(session: Session, mail: StandingMail, failure: Failure | None) -> None:
    """Keep what came of it: told, or to be tried again later."""
    values: dict[str, Any]
    if failure is None:
        values = {
            "told": mail.told, "sent_at": func.now(), "attempts": 0, "failure": None,
            "next_attempt_at": func.now() + PAUSE,
        }  # fmt: skip
    else:
        values = {"failure": failure, "next_attempt_at": func.now() + pause_after(failure, mail.attempts)}
    session.execute(update(BackupMail).where(BackupMail.user_id == mail.user_id).values(values))
