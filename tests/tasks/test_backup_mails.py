"""Administrators are told by mail when backups need looking at, once, and once when all is well again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal
from models import Backup, BackupDrill
from models.engine import Databases
from models.user import Role
from services.backup_mail import DUE
from services.backup_mail_words import WORDS
from services.backup_standing import TROUBLES
from services.base_backups import TROUBLES as BASE_TROUBLES
from tests.audit.trail import as_superuser
from tests.factories.backup import stored
from tests.factories.cast import Person, make_person
from tests.integrations.test_mail import Inbox, smtp
from tests.tasks.test_base import app

__all__ = ["app"]

NOW = datetime.now(UTC)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def environment(environment: dict[str, str], inbox: Inbox) -> Iterator[dict[str, str]]:
    with smtp(inbox) as port:
        yield environment | {"SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none&from=sigilo@example.org"}


@pytest.fixture(autouse=True)
def nobody_is_told_yet(superuser: str) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE backups, backup_drills, backup_mails")
        connection.execute("DELETE FROM user_roles WHERE role = 'ADMIN'")


@pytest.fixture
def admin(work_databases: Databases, superuser: str) -> Person:
    """Of a clinic that is older than a day."""
    person = make_person(work_databases, Role.ADMIN, "Davi Nunes")
    make_person(work_databases, Role.DOCTOR, "Ana Reis")
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE users SET created_at = now() - interval '2 days'")
    return person


def said(inbox: Inbox) -> list[tuple[str, str, str]]:
    """To whom, subject and text of each mail since the last look."""
    found = []
    for envelope in inbox.envelopes:
        assert isinstance(envelope.content, bytes)
        mail: Any = message_from_bytes(envelope.content, policy=policy.default)
        found.append((envelope.rcpt_tos[0], str(mail["Subject"]), mail.get_content().replace("\r\n", "\n")))
    inbox.envelopes.clear()
    return found


def add(databases: Databases, *rows: object) -> None:
    with databases.session(Principal.WORKER) as session:
        session.add_all(rows)


def failed(minutes: float) -> Backup:
    at = NOW + timedelta(minutes=minutes)
    return Backup(state="FAILED", origin="SCHEDULED", failure="The store failed.", finished_at=at)


def is_due(databases: Databases) -> bool:
    with databases.session(Principal.WORKER) as session:
        return bool(session.scalar(text(f"SELECT {DUE}")))


def told(app: Any, databases: Databases, superuser: str) -> int:
    """As if the pause between two mails were over; gives how many left."""
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE backup_mails SET next_attempt_at = now()")
    was_due = is_due(databases)
    left = int(app.tasks["mail.backups"]())
    assert was_due == bool(left), "it is looked for as it is sent"
    return left


def test_one_mail_for_each_trouble_and_one_when_all_is_well(
    app: Any, work_databases: Databases, superuser: str, admin: Person, inbox: Inbox
) -> None:
    def tell() -> int:
        return told(app, work_databases, superuser)

    add(work_databases, stored(NOW - timedelta(hours=2)))
    assert tell() == 0
    add(work_databases, failed(-10))
    assert tell() == 1
    [(recipient, subject, body)] = said(inbox)
    assert recipient == admin.email and subject == "Backups precisam de atenção: Clínica"
    assert "Olá, Davi Nunes." in body and "- O backup mais novo falhou." in body and "/backups\n" in body
    assert "26 horas" not in body
    assert tell() == 0, "it is said once"
    add(work_databases, failed(-9))
    assert tell() == 0, "the same once more"
    again = stored(NOW - timedelta(minutes=8), state="DONE", verified_at=None)
    add(work_databases, again)
    assert tell() == 0, "it waits for its drill, and nothing is well before"
    add(work_databases, failed(-7))
    assert tell() == 0, "what comes and goes is one mail"
    drill = BackupDrill(backup_id=again.id, state="FAILED", failure="No.", finished_at=NOW - timedelta(minutes=6))
    add(work_databases, drill)
    assert tell() == 1, "another trouble"
    [(_, _, body)] = said(inbox)
    assert "O teste de restauração mais novo não pôde ser feito" in body and "não confie" not in body
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE backup_drills SET is_damaged = TRUE")
    assert tell() == 1, "and that is worse"
    assert "O teste de restauração mais novo falhou: não confie nesse backup" in said(inbox)[0][2]
    good = stored(NOW - timedelta(minutes=5))
    add(work_databases, good)
    add(work_databases, BackupDrill(backup_id=good.id, state="PASSED", finished_at=NOW - timedelta(minutes=4)))
    assert tell() == 1
    [(_, subject, body)] = said(inbox)
    assert subject == "Backups em ordem de novo: Clínica" and "foi restaurado e conferido" in body
    assert tell() == 0
    add(work_databases, failed(-3))
    assert tell() == 1, "and then it is news again"


def test_a_trouble_that_stays_hides_no_other_that_comes_again(
    app: Any, work_databases: Databases, superuser: str, admin: Person, inbox: Inbox
) -> None:
    def tell() -> list[str]:
        """The lines of troubles in each mail that left."""
        told(app, work_databases, superuser)
        return [line for _, _, body in said(inbox) for line in body.splitlines() if line.startswith("- ")]

    def good(minutes: float) -> None:
        made = stored(NOW + timedelta(minutes=minutes))
        add(work_databases, made)
        passed = BackupDrill(backup_id=made.id, state="PASSED", finished_at=made.finished_at, trail_problems=2)
        add(work_databases, passed)

    trail, failure = WORDS["pt_BR"].alerts["trail-damaged"], WORDS["pt_BR"].alerts["failed"]
    good(-60)
    assert tell() == [trail]
    for hour in (-50, -40):
        add(work_databases, failed(hour))
        assert tell() == [failure, trail]
        good(hour + 5)
        assert tell() == [trail], "one is over"
    assert tell() == []


def test_late_is_said_of_a_clinic_that_is_older_than_a_day(
    app: Any, work_databases: Databases, superuser: str, admin: Person, inbox: Inbox
) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE users SET created_at = now()")
        connection.execute("UPDATE users SET locale = 'en' WHERE id = %s", [admin.id])
    assert told(app, work_databases, superuser) == 0, "the first backup has its night"
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE users SET created_at = now() - interval '27 hours'")
    assert told(app, work_databases, superuser) == 1
    [(_, subject, body)] = said(inbox)
    assert subject == "Backups need looking at: Clínica"
    assert "older than 26 hours" in body and "none yet" in body
    add(work_databases, stored(NOW - timedelta(hours=30)))
    assert told(app, work_databases, superuser) == 0, "late it is still"


def test_what_was_not_taken_goes_out_later(
    app: Any, work_databases: Databases, superuser: str, admin: Person, inbox: Inbox
) -> None:
    add(work_databases, stored(NOW - timedelta(hours=2)), failed(-10))
    inbox.answers[admin.email] = "451 later"
    assert app.tasks["mail.backups"]() == 0 and said(inbox) == []
    assert not is_due(work_databases), "not at once"
    inbox.answers.clear()
    assert told(app, work_databases, superuser) == 1
    assert len(said(inbox)) == 1
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE users SET disabled_at = now() WHERE id = %s", [admin.id])
        connection.execute("UPDATE backup_mails SET told = '{}'")
    assert told(app, work_databases, superuser) == 0, "whoever may not sign in is not told"


@pytest.mark.parametrize("locale", WORDS)
def test_every_trouble_has_its_words(locale: str) -> None:
    assert WORDS[locale].alerts.keys() == TROUBLES.keys() | BASE_TROUBLES.keys()
