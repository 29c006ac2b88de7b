"""Tell administrators by mail, on Mondays or every morning, how the installation stands, also when all is well: mail
that stops coming is a sign too.

A row for each administrator says which morning's mail they are owed. What did not leave within that day is left to
the next one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from config import Settings
from integrations.mail import Mailer
from models import SystemDigest, User
from services.audit_checkpoint import signer_of
from services.job_schedule import DIGEST, JOBS
from services.mail_owed import due_row, take
from services.mail_send import Failure, pause_after, send_mail
from services.system_digest import Facts, system_facts
from services.system_digest_words import Words, words_for

MONDAY = 0
OWED = """
    FROM system_digests d JOIN users u ON u.id = d.user_id
    WHERE d.sent_at IS NULL AND d.failure IS DISTINCT FROM 'refused' AND d.next_attempt_at <= now()
    AND d.slot > now() - interval '20 hours' AND u.disabled_at IS NULL
    AND EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.id AND r.role = 'ADMIN')
"""
DUE = f"EXISTS (SELECT {OWED})"
NEXT = text(f"SELECT d.user_id {OWED} ORDER BY d.next_attempt_at, d.user_id LIMIT 20")
OWE = text(
    """
    INSERT INTO system_digests (user_id, slot)
    SELECT u.id, :slot FROM users u WHERE u.disabled_at IS NULL
        AND EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.id AND r.role = 'ADMIN')
    ON CONFLICT (user_id) DO UPDATE
        SET slot = EXCLUDED.slot, attempts = 0, next_attempt_at = now(), sent_at = NULL, failure = NULL
        WHERE system_digests.slot < EXCLUDED.slot
    """
)


@dataclass(frozen=True, slots=True)
class Digest:
    """A mail that this worker sends. ``attempts``: this one included."""

    user_id: uuid.UUID
    email: str
    name: str
    locale: str
    slot: datetime
    attempts: int
    facts: Facts


def owe_digests(session: Session, settings: Settings, now: datetime) -> None:
    """Every active administrator is owed this morning's mail, where the clinic wants one today."""
    job = next(job for job in JOBS if job.task == DIGEST)
    slot = job.latest_slot(now, settings.timezone)
    if slot is None or settings.admin_digest == "off":
        return
    if settings.admin_digest == "daily" or slot.astimezone(settings.timezone).weekday() == MONDAY:
        session.execute(OWE, {"slot": slot})


def claim_digest(session: Session, settings: Settings, now: datetime) -> Digest | None:
    """The next mail that is owed; None when none is. Commit before sending it."""
    for user_id in session.scalars(NEXT).all():
        row = due_row(session, SystemDigest, user_id)
        if row is None or row.sent_at is not None:
            continue  # another worker's
        take(session, row)
        email, name, locale = session.execute(
            select(User.email, User.full_name, User.locale).where(User.id == user_id)
        ).one()
        facts = system_facts(session, signer_of(settings).trusted, now)
        return Digest(user_id, email, name, locale, row.slot, row.attempts, facts)
    return None


def send_digest(mailer: Mailer, settings: Settings, digest: Digest, now: datetime) -> Failure | None:
    """Write the mail and hand it over; None when it left, else why not."""
    words = words_for(digest.locale)

    def at(moment: datetime) -> str:
        return moment.astimezone(settings.timezone).strftime(words.moment)

    items = [(is_well, line.format(**values)) for is_well, line, values in _items(digest.facts, words, at)]
    bad, well = ([f"- {line}" for is_well, line in items if is_well is wanted] for wanted in (False, True))
    parts = ["\n".join([title, *lines]) for title, lines in ((words.to_look_at, bad), (words.in_order, well)) if lines]
    subject = words.subject_bad if bad else words.subject_well
    body = words.text.format(
        name=digest.name, clinic=settings.clinic_name, moment=at(now), lines="\n\n".join(parts),
        link=f"{settings.base_url}/system", often=words.often.get(settings.admin_digest, ""),
    )  # fmt: skip
    return send_mail(
        mailer, settings, recipient=digest.email,
        subject=subject.format(number=len(bad), clinic=settings.clinic_name), text=body,
        message_id=f"digest.{digest.user_id}.{digest.slot:%Y%m%d}.{digest.attempts}",
    )  # fmt: skip


def note_digest(session: Session, digest: Digest, failure: Failure | None) -> None:
    """Keep what came of it: told, or to be tried again later; an address that takes no mail, not before the next."""
    values: dict[str, Any] = {"failure": failure}
    if failure is None:
        values["sent_at"] = func.now()
    else:
        values["next_attempt_at"] = func.now() + pause_after(failure, digest.attempts)
    ours = (SystemDigest.user_id == digest.user_id, SystemDigest.slot == digest.slot)
    session.execute(update(SystemDigest).where(*ours).values(values))


def _items(facts: Facts, words: Words, at: Any) -> Iterator[tuple[bool, str, dict[str, Any]]]:
    """Each thing there is to say: whether it is well, its template, and what that is over."""

    def counted(name: str, number: int) -> tuple[bool, str, dict[str, Any]]:
        return number == 0, (words.bad if number else words.well)[name], {"number": number}

    yield counted("work", facts.failed)
    jobs = ", ".join(words.jobs.get(job, job) for job in facts.failed_jobs)
    yield not jobs, (words.bad if jobs else words.well)["jobs"], {"what": jobs}
    standing = facts.backups
    name = "backups" if standing.good_at is not None else "no_backups"
    what = ", ".join(words.alerts[alert] for alert in standing.alerts)
    moment = "" if standing.good_at is None else at(standing.good_at)
    yield not what, (words.bad if what else words.well)[name], {"what": what, "moment": moment}
    if facts.problems:
        yield False, words.bad["trail"], {}
    elif facts.is_check_late or facts.checked_at is None:
        yield False, words.bad["unchecked"], {}
    else:
        yield True, words.well["trail"], {"moment": at(facts.checked_at)}
    yield counted("sealing", facts.lag if facts.is_sealing_late else 0)
    yield counted("emergencies", facts.emergencies)
    yield counted("alerts", facts.alerts)
