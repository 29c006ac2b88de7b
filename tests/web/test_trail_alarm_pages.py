"""Auditors are told first when the trail is not intact or was not checked, and they alone take note of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.exc import ProgrammingError

from config import Principal, Settings
from models import AuditAlarm, AuditCheck, AuditOutbox, JobRun
from models.engine import Databases
from services.audit_check_note import TrailCheck, keep_check
from services.audit_checkpoint import signer_of
from services.audit_findings import note_findings, open_alarm
from services.audit_report import Report, problem_at
from services.job_run import finish_run
from services.job_schedule import VERIFY
from services.signed_note import Signer
from tests.factories.dead_letter import make_dead_letter
from tests.web.worklist_room import Room, room

__all__ = ["room"]


def test_an_auditor_is_told_first_of_a_trail_that_is_not_intact(room: Room, databases: Databases) -> None:
    forget_alarms(databases)
    said = "A trilha de auditoria não é a que foi selada."
    assert said not in room.page("auditor")
    report = Report()
    report.add(problem_at("changed", 7, "01900000-0000-7000-8000-00000000dead"))
    try:
        with databases.session(Principal.WORKER) as session:
            note_findings(session, report)
        page = room.page("auditor")
        assert said in page and "Evento 7: não é o que foi selado: alterado" in page
        assert said not in room.page("reception")
        with databases.session(Principal.WORKER) as session:
            note_findings(session, Report())
        page = room.page("auditor")
        assert said in page and "não diz o que foi" in page, "an intact trail the night after answers no question"
    finally:
        forget_alarms(databases)


def forget_alarms(databases: Databases) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text("DELETE FROM audit_alarms"))
        session.execute(text("DELETE FROM audit_findings"))


def test_only_an_auditor_takes_note_that_the_trail_was_not_intact(room: Room, databases: Databases) -> None:
    """Whoever keeps the server dismisses the failed check after that and not before."""
    forget_alarms(databases)
    letter = make_dead_letter(databases, VERIFY, error="TrailBroken")
    report = Report()
    report.add(problem_at("changed", 7, None))
    path = f"/system/dead-letters/{letter}"
    try:
        for _ in range(2):
            with databases.session(Principal.WORKER) as session:
                note_findings(session, report)
        admin, auditor = room.browser(room.cast.admin), room.browser(room.cast.auditor)
        refused = admin.post(f"{path}/dismiss", {"reason": "Foi um engano"}, form=path)
        assert refused.status_code == 409 and "nenhum auditor tomou ciência" in refused.get_data(as_text=True)
        assert admin.get("/audit/alarm").status_code == 403
        page = auditor.get("/audit/alarm").get_data(as_text=True)
        assert "Evento 7: não é o que foi selado: alterado" in page
        assert auditor.post("/audit/alarm", {"note": " "}).status_code == 422
        done = auditor.post("/audit/alarm", {"note": "Restauração de um backup, conferida"})
        assert (done.status_code, done.headers["Location"]) == (303, "/?done=alarm-noted")
        assert auditor.get("/audit/alarm").status_code == 404
        with databases.session(Principal.WORKER) as session:
            [alarm] = session.scalars(select(AuditAlarm)).all()
            told = select(AuditOutbox.action, AuditOutbox.actor_id).where(AuditOutbox.entity_id == alarm.id)
            acts = session.execute(told.order_by(AuditOutbox.id)).all()
        assert (alarm.places, alarm.noted_by, alarm.note) == (
            1, room.cast.auditor.id, "Restauração de um backup, conferida",
        )  # fmt: skip
        assert [tuple(act) for act in acts] == [
            ("audit_alarm.create", None), ("audit_alarm.note", room.cast.auditor.id),
        ]  # fmt: skip
        assert admin.post(f"{path}/dismiss", {"reason": "Foi um engano"}, form=path).status_code == 303
    finally:
        forget_alarms(databases)


UNCHECKED = "Não se sabe se a trilha de auditoria é a que foi selada."


def check_kept(databases: Databases, signer: Signer, at: datetime, problems: int = 0) -> None:
    with databases.session(Principal.WORKER) as session:
        keep_check(session, signer, TrailCheck(at, 5000, 4711, problems))


def test_an_auditor_is_told_when_the_trail_was_not_checked(
    room: Room, databases: Databases, settings: Settings
) -> None:
    """A superuser's row that says that the check was made is no check; nor is an old note under a new time."""
    now, signer = datetime.now(UTC), signer_of(settings)
    try:
        check_kept(databases, signer, now - timedelta(hours=25))
        page = room.page("auditor")
        assert UNCHECKED not in page and "4.711 eventos" in page and "Última verificação" in page
        assert UNCHECKED not in room.page("admin") and "4.711" not in room.page("reception")
        check_kept(databases, signer, now - timedelta(hours=27))
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text("UPDATE audit_checks SET ended_at = now()"))
        for hours in (0, 24, 48):
            with databases.session(Principal.WORKER) as session:
                finish_run(session, VERIFY, now + timedelta(hours=hours), "success", 4711)
        assert UNCHECKED in room.page("auditor")
        check_kept(databases, Signer("sigilo/audit-chain", bytes(32)), now)
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text("UPDATE users SET created_at = now() - interval '2 days' WHERE id = :me"),
                            {"me": room.cast.auditor.id})  # fmt: skip
        assert UNCHECKED in room.page("auditor"), "signed by nobody known"
        check_kept(databases, signer, now)
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(delete(JobRun).where(JobRun.job == VERIFY))
        assert UNCHECKED not in room.page("auditor")
        with databases.session(Principal.WORKER) as session:
            finish_run(session, VERIFY, now + timedelta(hours=1), "failure", None)
        page = room.page("auditor")
        assert UNCHECKED in page and "a verificação não pôde ser feita" in page
    finally:
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(delete(JobRun).where(JobRun.job == VERIFY))
            session.execute(delete(AuditCheck))
            session.execute(text("UPDATE users SET created_at = now() WHERE id = :me"), {"me": room.cast.auditor.id})


def test_a_check_that_could_not_be_made_is_put_aside_by_nobody(room: Room, databases: Databases) -> None:
    letter = make_dead_letter(databases, VERIFY, error="OperationalError")
    path = f"/system/dead-letters/{letter}"
    refused = room.browser(room.cast.admin).post(f"{path}/dismiss", {"reason": "Foi um engano"}, form=path)
    assert refused.status_code == 409 and "A trilha não pôde ser verificada" in refused.get_data(as_text=True)


@pytest.mark.parametrize("principal", [Principal.STAFF, Principal.WORKER, Principal.AUDITOR])
def test_nobody_takes_an_alarm_away(databases: Databases, principal: Principal) -> None:
    with databases.session(principal) as session, pytest.raises(ProgrammingError, match="permission denied"):
        session.execute(text("DELETE FROM audit_alarms"))
    if principal is not Principal.AUDITOR:
        with databases.session(principal) as session, pytest.raises(ProgrammingError, match="permission denied"):
            session.execute(text("UPDATE audit_alarms SET noted_at = now()"))


def test_the_trail_found_intact_raises_no_alarm(databases: Databases) -> None:
    with databases.session(Principal.WORKER) as session:
        note_findings(session, Report())
        assert open_alarm(session) is None
