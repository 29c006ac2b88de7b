"""Administrators are told by mail how the installation stands: in their language, once a morning, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text, update

from config import Principal, Settings
from models import Role, User
from models.engine import Databases
from services.audit_check_note import TrailCheck, keep_check
from services.audit_checkpoint import signer_of
from services.backup_standing import TROUBLES
from services.job_run import claim_slot, finish_run
from services.job_schedule import DIGEST, JOBS
from services.system_digest_mail import DUE, owe_digests
from services.system_digest_words import WORDS
from tasks.runtime import settings as worker_settings
from tests.audit.trail import as_superuser
from tests.factories.backup import forget_backups, make_backup
from tests.factories.cast import Person, make_person
from tests.factories.dead_letter import make_dead_letter
from tests.integrations.test_mail import Inbox, smtp
from tests.tasks.test_base import app

__all__ = ["app"]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def mailed(
    app: Any, inbox: Inbox, superuser: str, work_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The worker's application, which hands mail to a real SMTP server every morning; nobody was told anything yet."""
    forget_backups(work_databases)
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE system_digests, audit_checks")
        connection.execute("DELETE FROM user_roles WHERE role = 'ADMIN'")
    with smtp(inbox) as port:
        url = SecretStr(f"smtp://127.0.0.1:{port}?from=sigilo@example.org&tls=none")
        say(monkeypatch, smtp_url=url, admin_digest="daily", clinic_timezone=zone_at_noon(datetime.now(UTC)))
        yield app


def zone_at_noon(now: datetime) -> str:
    """A time zone whose clocks say about noon: between yesterday's mail and today's, none is owed for some hours."""
    return f"Etc/GMT{now.hour - 12:+d}"  # by POSIX, whose + is west


def say(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """The settings of the worker, changed."""
    changed = worker_settings().model_copy(update=changes)
    monkeypatch.setattr("tasks.mail.settings", lambda: changed)


@pytest.fixture
def admin(work_databases: Databases, mailed: Any) -> Person:
    return make_person(work_databases, Role.ADMIN, "Davi Nunes")


def mails(inbox: Inbox) -> list[EmailMessage]:
    contents = [each.content for each in inbox.envelopes]
    return [message_from_bytes(each, policy=policy.default) for each in contents if isinstance(each, bytes)]


def make_all_well(databases: Databases, settings: Settings) -> None:
    make_backup(databases)
    with databases.session(Principal.WORKER) as session:
        keep_check(session, signer_of(settings), TrailCheck(datetime.now(UTC), 5000, 4711, 0))


def test_all_is_well_and_it_is_said_once(
    mailed: Any, inbox: Inbox, work_databases: Databases, work_settings: Settings, admin: Person
) -> None:
    make_person(work_databases, Role.AUDITOR, "Eva Torres")
    make_person(work_databases, Role.DOCTOR, "Ana Moura")
    make_all_well(work_databases, work_settings)
    assert mailed.tasks[DIGEST]() == 1
    assert mailed.tasks[DIGEST]() == 0, "the clock and the watch may both wake it"
    [mail] = mails(inbox)
    assert mail["To"] == admin.email
    assert mail["Subject"] == "Sigilo em ordem: Clínica"
    said = mail.get_content()
    assert "Olá, Davi Nunes." in said and "Para ver:" not in said
    assert "trilha de auditoria íntegra" in said and "backup bom mais recente" in said
    assert "/system\r\n" in said and "todos os dias" in said


def test_what_needs_looking_at_is_counted_and_comes_first(
    mailed: Any, inbox: Inbox, work_databases: Databases, work_settings: Settings, superuser: str, admin: Person
) -> None:
    make_dead_letter(work_databases)
    make_backup(work_databases, failed_drill="the restore did not end")
    slot = datetime.now(UTC).replace(microsecond=0)
    with work_databases.session(Principal.WORKER) as session:
        claim_slot(session, "cleanup.expired", slot)
        finish_run(session, "cleanup.expired", slot, "failure", None)
        keep_check(session, signer_of(work_settings), TrailCheck(datetime.now(UTC), 5000, 4711, 2))
    with as_superuser(superuser) as connection:
        connection.execute(
            "INSERT INTO audit_outbox (id, occurred_at, action, outcome)"
            " VALUES (gen_random_uuid(), now() - interval '5 minutes', 'x', 'success')"
        )
    with work_databases.session(Principal.MIGRATOR) as session:
        session.execute(update(User).where(User.id == admin.id).values(locale="en"))
    assert mailed.tasks[DIGEST]() == 1
    [mail] = mails(inbox)
    said = mail.get_content()
    assert mail["Subject"] == "Sigilo needs looking at (5): Clínica"
    for line in (
        "work that failed for good: 1", "timed jobs that failed: clean-up", "the last drill could not be made",
        "the audit trail is NOT intact", "an act has waited 30",
    ):  # fmt: skip
        assert line in said, line
    assert said.index("the last drill could not be made") < said.index("In order:") < said.index("no emergency access")


def test_without_a_backup_or_a_check_it_says_so(mailed: Any, inbox: Inbox, admin: Person) -> None:
    assert mailed.tasks[DIGEST]() == 1
    said = mails(inbox)[0].get_content()
    assert "ainda não há nenhum ensaiado" in said and "não foi verificada" in said


def test_on_mondays_alone_or_never_as_the_clinic_says(
    mailed: Any, inbox: Inbox, work_databases: Databases, work_settings: Settings, admin: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monday = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # nine in the morning at the clinic

    def owed(often: str, now: datetime) -> datetime | None:
        settings = work_settings.model_copy(update={"admin_digest": often})
        with work_databases.session(Principal.WORKER) as session:
            owe_digests(session, settings, now)
            found: datetime | None = session.scalar(text("SELECT max(slot) FROM system_digests"))
            return found

    assert owed("off", monday) is None
    assert owed("weekly", monday - timedelta(days=1)) is None
    assert owed("weekly", monday) == datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    assert owed("weekly", monday + timedelta(days=1)) == datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    assert owed("daily", monday + timedelta(days=1)) == datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    say(monkeypatch, admin_digest="off")
    with work_databases.session(Principal.MIGRATOR) as session:
        session.execute(text("DELETE FROM system_digests"))
    assert mailed.tasks[DIGEST]() == 0
    assert not inbox.envelopes


def test_what_did_not_leave_is_tried_again_that_day_and_a_refusal_is_not(
    mailed: Any, inbox: Inbox, work_databases: Databases, superuser: str, admin: Person
) -> None:
    def is_due() -> bool:
        with work_databases.session(Principal.WORKER) as session:
            return bool(session.scalar(text(f"SELECT {DUE}")))

    def move_on(column: str, back: str) -> None:
        with as_superuser(superuser) as connection:
            connection.execute(f"UPDATE system_digests SET {column} = {column} - interval '{back}'")

    inbox.answers[admin.email] = "451 later"
    assert mailed.tasks[DIGEST]() == 0
    assert not is_due()
    move_on("next_attempt_at", "1 hour")
    assert is_due(), "the scheduler looks for it"
    inbox.answers.clear()
    assert mailed.tasks[DIGEST]() == 1
    assert not is_due()
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE system_digests SET sent_at = NULL, next_attempt_at = now() - interval '1 hour'")
        assert is_due()
    inbox.answers[admin.email] = "550 no such user"
    assert mailed.tasks[DIGEST]() == 0
    move_on("next_attempt_at", "1 day")
    assert not is_due()
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE system_digests SET failure = 'unreachable'")
        assert is_due()
    move_on("slot", "2 days")
    assert not is_due(), "yesterday's is left to today's"


def test_somebody_who_is_no_administrator_any_more_is_told_nothing(
    mailed: Any, inbox: Inbox, work_databases: Databases, superuser: str, admin: Person
) -> None:
    inbox.answers[admin.email] = "451 later"
    assert mailed.tasks[DIGEST]() == 0
    inbox.answers.clear()
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE system_digests SET next_attempt_at = now()")
        connection.execute("DELETE FROM user_roles WHERE role = 'ADMIN'")
    assert mailed.tasks[DIGEST]() == 0
    assert not inbox.envelopes


def test_both_languages_say_the_same_of_every_job_and_every_trouble_of_backups() -> None:
    pt, en = WORDS["pt_BR"], WORDS["en"]
    for name in ("often", "well", "bad", "alerts", "jobs"):
        assert set(getattr(pt, name)) == set(getattr(en, name)), name
    assert set(pt.jobs) == {job.task for job in JOBS}
    assert set(pt.alerts) == set(TROUBLES)

