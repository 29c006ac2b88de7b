"""``/system``: every part's state, versions, the trail's numbers, timed jobs, sessions; nobody's data."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, text, update

from config import Principal, Settings
from embedded.process import wait_until
from models import AuditCheck, CheckpointSink, JobRun, RateLimitLog
from models.engine import Databases
from services.audit_check_note import TrailCheck, keep_check
from services.audit_checkpoint import signer_of, write_checkpoint
from services.audit_drain import drain
from services.audit_findings import note_findings
from services.audit_report import Report, missing, problem_at
from services.errors import Forbidden
from services.job_run import claim_slot, finish_run
from services.job_schedule import VERIFY
from services.system_history import system_history
from services.system_state import system_state
from tests.factories.backup import make_backup
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, make_cast
from tests.integrations.fake_ollama import DEFAULT_MODEL, fake_ollama
from tests.web.conftest import Browser, MakeApp
from web.health import REVISION
from web.views.system import Charts


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


def test_the_page_knows_the_model_and_nothing_else_does(
    make_own_app: MakeApp, databases: Databases, cast: Cast
) -> None:
    """A clinic with a model is as healthy without it: neither health nor readiness asks, and no page waits."""
    with fake_ollama() as ollama:
        browser = Browser(make_own_app(ollama_url=ollama.url))
        browser.client.set_cookie("sigilo", open_session(databases, cast.admin), domain="localhost")

        def model_is(chip: str) -> bool:
            page = browser.get("/system").get_data(as_text=True)
            return re.search(rf'<b>Modelo de linguagem</b><span class="chip state {chip}">', page) is not None

        def measured(value: float) -> bool:
            metrics = browser.client.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
            return f"sigilo_ai_model_up {value}\n" in metrics.get_data(as_text=True)

        assert wait_until(lambda: model_is("ok") and measured(1.0), 10)
        del ollama.models[DEFAULT_MODEL]
        assert wait_until(lambda: model_is("down") and measured(0.0), 10)
        asked = len(ollama.requests)
        for path in ("/api/health", "/readyz"):
            assert "model" not in browser.client.get(path).get_json()["dependencies"]
        assert len(ollama.requests) == asked
        ollama.questions_hang = True
        ollama.have(DEFAULT_MODEL)
        assert wait_until(lambda: (browser.get("/system"), len(ollama.requests) > asked)[1], 10)
        began = time.monotonic()
        assert model_is("down"), "what was known is shown while the question hangs"
        assert time.monotonic() - began < 2


def test_the_page_is_silent_of_a_model_that_the_clinic_has_not(admin: Browser) -> None:
    assert "Modelo de linguagem" not in admin.get("/system").get_data(as_text=True)


def test_the_page_says_where_checkpoints_are_kept_and_how_the_last_check_went(
    admin: Browser, databases: Databases, settings: Settings
) -> None:
    """How the check went is a signed word: what a row of job_runs says of a check that was made is nobody's."""
    slot = datetime.now(UTC).replace(microsecond=0)
    signer = signer_of(settings)
    with databases.session(Principal.WORKER) as session:
        session.add(CheckpointSink(name="file:///kept", sequence=7, delivered_at=slot))
        session.add(CheckpointSink(name="https://w.example.org #abc", attempts=3, failure="answered 503"))
        claim_slot(session, VERIFY, slot)
        finish_run(session, VERIFY, slot, "success", 1234)
        keep_check(session, signer, TrailCheck(slot, 5000, 4711, 0))
    page = admin.get("/system").get_data(as_text=True)
    for said in ("file:///kept", "até o número 7", "https://w.example.org #abc", "answered 503", "4.711 ev", "íntegra"):
        assert said in page, said
    for rows, said in ((3, "NÃO íntegra"), (None, "a verificação não pôde ser feita")):
        with databases.session(Principal.WORKER) as session:
            finish_run(session, VERIFY, slot, "failure", rows)
            if rows is not None:
                keep_check(session, signer, TrailCheck(slot, 5000, 4711, rows))
            session.execute(update(CheckpointSink).values(sequence=10**9, delivered_at=slot))
        page = admin.get("/system").get_data(as_text=True)
        assert said in page and "mais do que a trilha daqui tem" in page
    report = Report()
    report.add(problem_at("changed", 7, "01900000-0000-7000-8000-00000000dead"))
    report.add(missing(9, 12))
    with databases.session(Principal.WORKER) as session:
        finish_run(session, VERIFY, slot, "failure", 2)
        keep_check(session, signer, TrailCheck(slot, 5000, 4711, 2))
        note_findings(session, report)
    page = admin.get("/system").get_data(as_text=True)
    for said in ("Evento 7: ", "01900000-0000-7000-8000-00000000dead", "Eventos 9 a 12: "):
        assert said in page
    with databases.session(Principal.WORKER) as session:
        note_findings(session, Report())
    with databases.session(Principal.WORKER) as session:
        session.execute(delete(CheckpointSink))
        session.execute(delete(JobRun).where(JobRun.job == VERIFY))
        session.execute(delete(AuditCheck))


def test_the_state_in_numbers(databases: Databases, settings: Settings, cast: Cast) -> None:
    now = datetime.now(UTC)
    nowhere = settings.model_copy(update={"sigilo_home": settings.sigilo_home / "nowhere"})
    open_session(databases, cast.nurse)
    with databases.session(Principal.STAFF) as session:
        admin = replace(cast.admin.actor, scopes=None)  # managing is for no token
        before = system_state(session, admin, settings, now)
        gone = system_state(session, admin, nowhere, now)
        for person in (cast.doctor, cast.auditor, cast.reception, cast.patient):
            with pytest.raises(Forbidden):
                system_state(session, replace(person.actor, scopes=None), settings, now)
    assert before["database"]["revision"] == REVISION
    assert dict(before["sessions"])["NURSE"] >= 1
    assert gone["disk"] is None
    for job in before["jobs"]:
        assert now < datetime.fromisoformat(job["nextAt"]) <= now + timedelta(days=1, seconds=1)
    open_session(databases, cast.nurse)
    with databases.session(Principal.STAFF) as session:
        after = system_state(session, admin, settings, now)
    assert after["trail"]["waiting"] == before["trail"]["waiting"] + 1


@pytest.mark.parametrize("principal", [Principal.ANONYMOUS, Principal.PATIENT, Principal.AUDITOR, Principal.WORKER])
def test_security_21_only_staff_ask_how_the_trail_stands(databases: Databases, principal: Principal) -> None:
    with databases.session(principal) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("SELECT * FROM audit_standing()"))


def test_security_21_what_staff_learn_of_the_trail_is_numbers_and_times(databases: Databases) -> None:
    with databases.session(Principal.STAFF) as session:
        names = session.execute(text("SELECT * FROM audit_standing()")).keys()
    assert list(names) == ["waiting", "sealed", "sealed_at", "signed", "signed_at"]


@pytest.mark.parametrize("principal", [Principal.ANONYMOUS, Principal.PATIENT, Principal.AUDITOR, Principal.WORKER])
def test_security_21_only_staff_ask_for_the_hours_of_the_trail(databases: Databases, principal: Principal) -> None:
    with databases.session(principal) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("SELECT * FROM audit_hours(now())"))


def test_the_charts_have_what_happened_where_it_happened(
    fresh_databases: Databases, fresh_settings: Settings
) -> None:
    """An hour of the trail, of refusals and of sign-ins, and a backup."""
    people = make_cast(fresh_databases, fresh_settings)
    signer, now = signer_of(fresh_settings), datetime.now(UTC)
    with fresh_databases.session(Principal.WORKER) as session:
        session.execute(
            text(
                "INSERT INTO audit_outbox (id, occurred_at, action, outcome)"
                " SELECT gen_random_uuid(), now() - interval '40 seconds', 'x', 'success' FROM generate_series(1, 3)"
            )
        )
        drain(session)
        write_checkpoint(session, signer)
    make_backup(fresh_databases, size=2_500_000)
    open_session(fresh_databases, people.nurse)
    with fresh_databases.session(Principal.MIGRATOR) as session:
        session.add(RateLimitLog(bucket="api", outcome="refused", quota="20/minute"))
        session.add(RateLimitLog(bucket="api", outcome="near", quota="20/minute"))
    actor = replace(people.admin.actor, scopes=None)
    with fresh_databases.session(Principal.STAFF) as session:
        shown = system_history(session, actor, now, fresh_settings.timezone)
        with pytest.raises(Forbidden):
            system_history(session, replace(people.doctor.actor, scopes=None), now, fresh_settings.timezone)
    assert shown["acts"][-1][0] == f"{now.astimezone(fresh_settings.timezone):%H}:00"
    assert [len(shown[name]) for name in ("acts", "refusals", "failures", "backup_megabytes")] == [24, 24, 14, 1]
    # The hour may have ended meanwhile.
    newest = {name: sum(number for _, number in shown[name][-2:]) for name in ("acts", "refusals", "sign_ins")}
    assert newest == {"acts": 3.0, "refusals": 1.0, "sign_ins": 1.0}
    assert 40 <= max(number for _, number in shown["waits"][-2:]) < 100
    assert shown["backup_megabytes"][0][1] == 2.5
    assert shown["backup_seconds"][0][1] == 120.0
    assert shown["restore_seconds"][0][1] == 93.4


def test_charts_are_drawn_once_a_minute_and_not_at_every_look(
    admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.views.system._charts", Charts())
    asked: list[datetime] = []

    def counted(*given: Any) -> dict[str, Any]:
        asked.append(given[2])
        return system_history(*given)

    monkeypatch.setattr("web.views.system.system_history", counted)
    part = {"HX-Request": "true", "HX-Target": "div#system"}
    assert '<svg class="chart' not in admin.get("/system", headers=part).get_data(as_text=True)
    assert asked == []
    pages = [admin.get("/system").get_data(as_text=True) for _ in range(2)]
    assert all(page.count("<svg class=\"chart\"") >= 5 for page in pages)
    assert len(asked) == 1
    assert "Atos auditados por hora" in pages[0]
