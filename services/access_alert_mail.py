"""Tell auditors by mail that unusual accesses wait for a review: each one mail at most every half hour.

A row for each auditor says up to which alert they were told. What they have reviewed meanwhile, and what is about
themselves, is not in it. What went out and was not noted goes out again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Settings
from integrations.mail import Mailer
from models import AccessAlert, AccessAlertDigest, User
from services.access_alert_words import words_for
from services.access_rules import RuleKey
from services.mail_owed import due_row, take
from services.mail_send import Failure, pause_after, send_mail

PAUSE = timedelta(minutes=30)  # between two mails to one person
LINES_MAX = 20

# Auditors (``u``) whom something is owed, with what they were told of it (``d``).
OWED = """
    FROM users u LEFT JOIN access_alert_digests d ON d.user_id = u.id
    WHERE u.disabled_at IS NULL
    AND EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.id AND r.role = 'AUDITOR')
    AND coalesce(d.next_attempt_at <= now(), TRUE)
    AND EXISTS (
        SELECT FROM access_alerts a
        WHERE a.reviewed_at IS NULL AND a.number > coalesce(d.told_number, 0) AND a.user_id <> u.id
    )
"""
DUE = f"EXISTS (SELECT {OWED})"
SAID = select(
    AccessAlert.number, AccessAlert.rule, AccessAlert.count, AccessAlert.acting_role, AccessAlert.user_id,
    AccessAlert.last_at,
)  # fmt: skip
NEXT = text(f"SELECT u.id {OWED} ORDER BY d.next_attempt_at NULLS FIRST, u.id LIMIT 20")


@dataclass(frozen=True, slots=True)
class Digest:
    """A mail that this worker sends. ``upto``: the number of the newest alert in it; ``attempts``: this one included;
    ``alerts``: rows of ``SAID``."""

    user_id: uuid.UUID
    email: str
    name: str
    locale: str
    attempts: int
    upto: int
    alerts: Sequence[Row[int, str, int, str, uuid.UUID, datetime]]


def claim_digest(session: Session) -> Digest | None:
    """The next mail that is owed; None when none is. Commit before sending it."""
    for user_id in session.scalars(NEXT).all():
        session.execute(insert(AccessAlertDigest).values(user_id=user_id).on_conflict_do_nothing())
        row = due_row(session, AccessAlertDigest, user_id)
        if row is None:
            continue  # another worker's
        alerts = session.execute(
            SAID.where(
                AccessAlert.reviewed_at.is_(None), AccessAlert.number > row.told_number, AccessAlert.user_id != user_id
            ).order_by(AccessAlert.number)
        ).all()
        if alerts:
            take(session, row)
            user = session.execute(select(User.email, User.full_name, User.locale).where(User.id == user_id)).one()
            return Digest(user_id, *user, row.attempts, alerts[-1].number, alerts)
    return None


def send_digest(mailer: Mailer, settings: Settings, digest: Digest) -> Failure | None:
    """Write the mail and hand it over; None when it left, else why not."""
    words = words_for(digest.locale)
    values = {
        "name": digest.name, "clinic": settings.clinic_name, "number": len(digest.alerts),
        "lines": "\n".join(_lines(settings, digest)), "link": f"{settings.base_url}/access-alerts",
    }  # fmt: skip
    return send_mail(
        mailer, settings, recipient=digest.email, subject=words.subject.format(**values),
        text=words.text.format(**values), message_id=f"alerts.{digest.user_id}.{digest.upto}.{digest.attempts}",
    )  # fmt: skip


def note_digest(session: Session, digest: Digest, failure: Failure | None) -> None:
    """Keep what came of it: told, or to be tried again later."""
    values: dict[str, Any]
    if failure is None:
        values = {
            "told_number": digest.upto, "sent_at": func.now(), "attempts": 0, "failure": None,
            "next_attempt_at": func.now() + PAUSE,
        }  # fmt: skip
    else:
        values = {"failure": failure, "next_attempt_at": func.now() + pause_after(failure, digest.attempts)}
    session.execute(update(AccessAlertDigest).where(AccessAlertDigest.user_id == digest.user_id).values(values))


def _lines(settings: Settings, digest: Digest) -> list[str]:
    words = words_for(digest.locale)
    lines = [
        words.line.format(
            rule=words.rules[RuleKey(rule)], count=number, role=words.roles.get(role, "?"),
            person=str(user_id)[-8:],
            moment=last_at.astimezone(settings.timezone).strftime(words.moment),
        )
        for _, rule, number, role, user_id, last_at in digest.alerts[:LINES_MAX]
    ]  # fmt: skip
    beyond = len(digest.alerts) - LINES_MAX
    return [*lines, words.more.format(number=beyond)] if beyond > 0 else lines
