"""What is sealed is looked through, and auditors are told by mail: once, without a patient, and again what is new."""

from __future__ import annotations

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import text

from config import Principal, Settings
from integrations.mail import FOLDER, MailUnavailable
from models import new_id
from models.engine import Databases
from models.user import Role
from services.access_alert_mail import DUE, LINES_MAX, claim_digest, note_digest, send_digest
from services.access_alert_words import WORDS
from services.access_rules import RuleKey
from services.audit_event import Event
from tasks.access_alerts import RulesBehind
from tests.audit.trail import as_superuser
from tests.audit.watched import alerts, did, minutes
from tests.factories.cast import Person, make_person
from tests.tasks.test_base import app

__all__ = ["app"]

EXPORT = Event("trail.export", "audit_event")


@pytest.fixture(autouse=True)
def nobody_is_told_yet(superuser: str) -> None:
    """Auditors of earlier tests are gone from the list of those who are told."""
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE access_alerts, access_alert_digests, access_watch_behind")
        connection.execute("UPDATE access_watch SET sequence = 0")
        connection.execute("DELETE FROM user_roles WHERE role = 'AUDITOR'")


@pytest.fixture
def auditor(work_databases: Databases) -> Person:
    return make_person(work_databases, Role.AUDITOR, "Eva Torres")


@pytest.fixture
def admin(work_databases: Databases) -> Person:
    return make_person(work_databases, Role.ADMIN, "Davi Nunes")


def mails(settings: Settings, person: Person) -> list[Any]:
    """What was written to ``person``, in the order it was."""
    found = (Path(settings.sigilo_home) / FOLDER).glob(f"{person.email}-*")
    files = sorted(found, key=lambda path: path.stat().st_mtime_ns)
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in files]


def move_on(superuser: str) -> None:
    """As if the pause between two mails were over."""
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE access_alert_digests SET next_attempt_at = now()")


def is_due(databases: Databases) -> bool:
    with databases.session(Principal.WORKER) as session:
        return bool(session.scalar(text(f"SELECT {DUE}")))


def test_a_time_limit_ends_the_task_and_is_no_fault_of_a_rule(
    app: Any, work_databases: Databases, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: Any) -> int:
        raise SoftTimeLimitExceeded

    did(work_databases, admin, (minutes(0), EXPORT))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("services.access_watch.raise_alert", end)
        with pytest.raises(SoftTimeLimitExceeded):
            app.tasks["access.watch"]()
    assert app.tasks["access.watch"]() == 1
    assert app.tasks["access.catch_up"]() == 0


def test_an_auditor_is_told_once_without_a_patient_and_then_what_is_new(
    app: Any, work_databases: Databases, work_settings: Settings, superuser: str, admin: Person, auditor: Person
) -> None:
    patient = new_id()
    export = Event("patient.export", "patient", patient, patient_id=patient)
    did(work_databases, admin, (minutes(0), export), (minutes(1), export))
    assert not is_due(work_databases)
    assert app.tasks["access.watch"]() == 1
    assert is_due(work_databases)
    assert app.tasks["mail.alerts"]() == 1
    assert app.tasks["mail.alerts"]() == 0
    assert not is_due(work_databases)
    [mail] = mails(work_settings, auditor)
    said = mail.get_content()
    assert f"- Exportação: 2; administração …{str(admin.id)[-8:]}, 24/11/2026 12:01" in said
    assert "/access-alerts\n" in said
    assert str(patient) not in said and admin.actor.name not in said
    move_on(superuser)
    assert app.tasks["mail.alerts"]() == 0, "nothing new, so nothing is said"
    did(work_databases, admin, (minutes(300), export))
    app.tasks["access.watch"]()
    assert app.tasks["mail.alerts"]() == 1
    assert "Exportação: 1;" in mails(work_settings, auditor)[1].get_content()


def test_an_alert_that_has_doubled_since_is_told_again(
    app: Any, work_databases: Databases, work_settings: Settings, superuser: str, admin: Person, auditor: Person
) -> None:
    def more(start: int, count: int) -> int:
        """So many exports more; gives how many mails left."""
        did(work_databases, admin, *((minutes(start + number), EXPORT) for number in range(count)))
        app.tasks["access.watch"]()
        move_on(superuser)
        return int(app.tasks["mail.alerts"]())

    assert [more(0, 3), more(5, 2), more(10, 1), more(15, 4), more(20, 2)] == [1, 0, 1, 0, 1]
    assert [f"Exportação: {number};" in mail.get_content()
            for number, mail in zip((3, 6, 12), mails(work_settings, auditor), strict=True)] == [True] * 3  # fmt: skip
    assert len(alerts(work_databases)) == 1


def test_a_rule_that_is_behind_is_failed_work_until_it_has_caught_up(
    app: Any, work_databases: Databases, superuser: str, admin: Person
) -> None:
    did(work_databases, admin, (minutes(0), EXPORT))
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE access_watch SET sequence = (SELECT max(sequence) FROM audit_trail)")
        connection.execute("INSERT INTO access_watch_behind (rule, sequence) VALUES ('exports', 0)")
        with pytest.raises(RulesBehind, match="exports"):
            app.tasks["access.catch_up"]()
        assert alerts(work_databases) == [], "it is not due"
        connection.execute("UPDATE access_watch_behind SET next_attempt_at = now()")
        assert app.tasks["access.catch_up"]() == 1
    assert [alert.rule for alert in alerts(work_databases)] == ["exports"]


def test_within_the_pause_what_is_new_waits_and_comes_together(
    app: Any, work_databases: Databases, work_settings: Settings, superuser: str, admin: Person, auditor: Person
) -> None:
    for number in range(3):
        did(work_databases, admin, (minutes(100 * number), EXPORT))
        app.tasks["access.watch"]()
        assert app.tasks["mail.alerts"]() == (1 if number == 0 else 0)
    move_on(superuser)
    assert app.tasks["mail.alerts"]() == 1
    assert mails(work_settings, auditor)[1].get_content().count("- Exportação") == 2


def test_whom_it_is_about_is_not_told_nor_who_no_longer_audits(
    app: Any, work_databases: Databases, work_settings: Settings, auditor: Person
) -> None:
    other, gone = (make_person(work_databases, Role.AUDITOR, name) for name in ("Ivo Lemos", "Ida Lemos"))
    with work_databases.session(Principal.MIGRATOR) as session:
        session.execute(text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": gone.id})
    did(work_databases, auditor, (minutes(0), EXPORT))
    app.tasks["access.watch"]()
    assert app.tasks["mail.alerts"]() == 1
    assert [len(mails(work_settings, each)) for each in (auditor, other, gone)] == [0, 1, 0]


def test_a_worker_that_dies_after_claiming_leaves_it_to_the_next_and_a_failure_waits(
    app: Any, work_databases: Databases, superuser: str, admin: Person, auditor: Person
) -> None:
    did(work_databases, admin, (minutes(0), EXPORT))
    app.tasks["access.watch"]()
    with work_databases.session(Principal.WORKER) as session:
        claimed = claim_digest(session)
    assert claimed is not None and claimed.user_id == auditor.id
    assert app.tasks["mail.alerts"]() == 0, "it is another's, for as long as a mail server is waited for"
    move_on(superuser)
    with work_databases.session(Principal.WORKER) as session:
        again = claim_digest(session)
    assert again is not None and (again.attempts, again.upto) == (2, claimed.upto)
    with work_databases.session(Principal.WORKER) as session:
        note_digest(session, again, "unreachable")
    assert not is_due(work_databases)
    move_on(superuser)
    assert app.tasks["mail.alerts"]() == 1


class Away:
    """A mail server that is not there."""

    sender = "sigilo@example.org"

    def send(self, message: object, recipient: str) -> None:
        raise MailUnavailable("away")


def test_a_server_that_is_away_and_more_alerts_than_a_mail_names(
    app: Any, work_databases: Databases, work_settings: Settings, admin: Person, auditor: Person
) -> None:
    did(work_databases, admin, *((minutes(100 * number), EXPORT) for number in range(LINES_MAX + 3)))
    app.tasks["access.watch"]()
    assert len(alerts(work_databases)) == LINES_MAX + 3
    with work_databases.session(Principal.WORKER) as session:
        claimed = claim_digest(session)
        session.rollback()
    assert claimed is not None
    assert send_digest(Away(), work_settings, claimed) == "unreachable"
    assert app.tasks["mail.alerts"]() == 1
    said = mails(work_settings, auditor)[0].get_content()
    assert said.count("- Exportação") == LINES_MAX and "- e mais 3" in said


def test_every_rule_has_a_name_in_every_language() -> None:
    for words in WORDS.values():
        assert set(words.rules) == set(RuleKey)
        assert set(words.roles) == {role.value for role in Role}
