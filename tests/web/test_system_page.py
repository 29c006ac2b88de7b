"""``/system``: every part's state, versions, the trail's numbers, timed jobs, sessions; nobody's data."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, text, update

from config import Principal, Settings
from models import CheckpointSink, JobRun
from models.engine import Databases
from services.audit_checkpoint import signer_of, write_checkpoint
from services.audit_drain import drain
from services.audit_findings import note_findings
from services.audit_report import Report, missing, problem_at
from services.errors import Forbidden
from services.job_run import claim_slot, finish_run
from services.job_schedule import VERIFY
from services.system_state import system_state
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.web.conftest import Browser
from web.health import REVISION


@pytest.fixture
def admin(app: Flask, databases: Databases, cast: Cast) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, cast.admin), domain="localhost")
    return browser


def test_the_page_says_how_every_part_stands(admin: Browser, databases: Databases, settings: Settings) -> None:
    slot = datetime.now(UTC).replace(microsecond=0)
    with databases.session(Principal.WORKER) as session:
        drain(session)
        write_checkpoint(session, signer_of(settings))
        claim_slot(session, "cleanup.expired", slot)
        finish_run(session, "cleanup.expired", slot, "failure", None)
    page = admin.get("/system").get_data(as_text=True)
    for said in ("PostgreSQL", "Redis", "Nenhum agendador está rodando", REVISION, "até o número", "Falhou"):
        assert said in page, said
    assert re.search(r"[\d,]+ [GT]B livres de", page)
    assert "ainda não: é feita toda noite" in page and "em lugar nenhum" in page
    fragment = admin.get("/system", headers={"HX-Request": "true", "HX-Target": "div#system"}).get_data(as_text=True)
    assert fragment.strip().startswith('<div id="system"')
    assert 'hx-trigger="every 5s"' in fragment


def test_the_page_says_where_checkpoints_are_kept_and_how_the_last_check_went(
    admin: Browser, databases: Databases
) -> None:
    slot = datetime.now(UTC).replace(microsecond=0)
    with databases.session(Principal.WORKER) as session:
        session.add(CheckpointSink(name="file:///kept", sequence=7, delivered_at=slot))
        session.add(CheckpointSink(name="https://w.example.org #abc", attempts=3, failure="answered 503"))
        claim_slot(session, VERIFY, slot)
        finish_run(session, VERIFY, slot, "success", 4711)
    page = admin.get("/system").get_data(as_text=True)
    for said in ("file:///kept", "até o número 7", "https://w.example.org #abc", "answered 503", "4.711 ev", "íntegra"):
        assert said in page, said
    for rows, said in ((3, "NÃO íntegra"), (None, "a verificação não pôde ser feita")):
        with databases.session(Principal.WORKER) as session:
            finish_run(session, VERIFY, slot, "failure", rows)
            session.execute(update(CheckpointSink).values(sequence=10**9, delivered_at=slot))
        page = admin.get("/system").get_data(as_text=True)
        assert said in page and "mais do que a trilha daqui tem" in page
    report = Report()
    report.add(problem_at("changed", 7, "01900000-0000-7000-8000-00000000dead"))
    report.add(missing(9, 12))
    with databases.session(Principal.WORKER) as session:
        finish_run(session, VERIFY, slot, "failure", 2)
        note_findings(session, report)
    page = admin.get("/system").get_data(as_text=True)
    for said in ("Evento 7: ", "01900000-0000-7000-8000-00000000dead", "Eventos 9 a 12: "):
        assert said in page
    with databases.session(Principal.WORKER) as session:
        note_findings(session, Report())
    with databases.session(Principal.WORKER) as session:
        session.execute(delete(CheckpointSink))
        session.execute(delete(JobRun).where(JobRun.job == VERIFY))


def test_the_state_in_numbers(databases: Databases, settings: Settings, cast: Cast) -> None:
    now = datetime.now(UTC)
    open_session(databases, cast.nurse)
    with databases.session(Principal.STAFF) as session:
        admin = replace(cast.admin.actor, scopes=None)  # managing is for no token
        before = system_state(session, admin, settings.sigilo_home, now)
        gone = system_state(session, admin, settings.sigilo_home / "nowhere", now)
        for person in (cast.doctor, cast.auditor, cast.reception, cast.patient):
            with pytest.raises(Forbidden):
                system_state(session, replace(person.actor, scopes=None), settings.sigilo_home, now)
    assert before["database"]["revision"] == REVISION
    assert dict(before["sessions"])["NURSE"] >= 1
    assert gone["disk"] is None
    for job in before["jobs"]:
        assert now < datetime.fromisoformat(job["nextAt"]) <= now + timedelta(days=1, seconds=1)
    open_session(databases, cast.nurse)
    with databases.session(Principal.STAFF) as session:
        after = system_state(session, admin, settings.sigilo_home, now)
    assert after["trail"]["waiting"] == before["trail"]["waiting"] + 1


@pytest.mark.parametrize("principal", [Principal.ANONYMOUS, Principal.PATIENT, Principal.AUDITOR, Principal.WORKER])
def test_security_21_only_staff_ask_how_the_trail_stands(databases: Databases, principal: Principal) -> None:
    with databases.session(principal) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("SELECT * FROM audit_standing()"))


def test_security_21_what_staff_learn_of_the_trail_is_numbers_and_times(databases: Databases) -> None:
    with databases.session(Principal.STAFF) as session:
        names = session.execute(text("SELECT * FROM audit_standing()")).keys()
    assert list(names) == ["waiting", "sealed", "sealed_at", "signed", "signed_at"]
