"""One's own page: a patient's record and who saw it; account, sessions, tokens."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import select

import cli
from config import Principal, Settings
from models import AuditLog, AuditOutbox, Role, Session
from models.engine import Databases
from services.audit_checkpoint import public_key
from services.audit_event import Origin
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from services.session_start import start_session
from tests.audit.trail import drain_all
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person
from tests.factories.emergency import make_grant
from tests.services.test_query_counts import statements_sent
from tests.web.conftest import Browser
from tests.web.signed_in import signed_in
from web.user_agents import browser_name

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def portal(databases: Databases, settings: Settings, cast: Cast) -> Person:
    """A patient who can sign in, of whom the doctor wrote a record."""
    patient = make_patient(databases, settings, "Íris Cordeiro", phone="11 5555-0133")
    join_team(databases, patient, cast.doctor.id)
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient, {"title": "Gripe forte", "diagnosis": "Influenza", "restricted": True})
        create_record(session, cast.doctor.actor, field_cipher(settings), new)
    return make_person(databases, Role.PATIENT, "Iris Cordeiro", patient_id=patient)


def patient_of(person: Person) -> uuid.UUID:
    assert person.actor.patient_id is not None
    return person.actor.patient_id


def test_a_patient_finds_their_record_and_who_saw_it(
    app: Flask, databases: Databases, cast: Cast, portal: Person
) -> None:
    patient = patient_of(portal)
    make_grant(databases, cast.doctor2, patient, minutes_left=5)
    reader = signed_in(app, databases, cast.doctor2)
    reader.client.get(f"/api/patients/{patient}")
    signed_in(app, databases, cast.reception).client.get(f"/api/patients/{patient}")
    drain_all(databases)
    page = signed_in(app, databases, portal).get("/me").get_data(as_text=True)
    assert "Gripe forte" in page and "11 5555-0133" in page and "Nenhuma alergia anotada" in page
    seen = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.partition('id="accesses"')[2]))
    assert "Paulo Reis Medicina · CRM-SP 123456 leu os dados de um paciente" in seen
    assert "acesso de emergência: Emergência: Plantão, dor no peito" in seen
    assert "Bia Rocha Recepção leu os dados de um paciente recepção: dados clínicos ocultos" in seen


def test_the_receipt_says_who_saw_it_and_is_checked_with_the_public_key_alone(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, portal: Person, tmp_path: Path
) -> None:
    patient = patient_of(portal)
    reason = 'EMERGENCY: "Dor" & febre\n9. 01/01/2020 · outra\u2028pessoa\x0b'
    make_grant(databases, cast.doctor2, patient, minutes_left=5, reason=reason)
    signed_in(app, databases, cast.doctor2).client.get(f"/api/patients/{patient}")
    signed_in(app, databases, cast.stranger).client.get(f"/api/patients/{patient}")
    drain_all(databases)
    browser = signed_in(app, databases, portal)
    assert 'href="/me/access-receipt" download' in browser.get("/me").get_data(as_text=True)
    answer = browser.get("/me/access-receipt")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=sigilo-accesses-")
    receipt = tmp_path / "receipt.txt"
    receipt.write_text(answer.get_data(as_text=True), encoding="utf-8")
    key = public_key(settings)
    shown = CliRunner().invoke(cli.main, ["audit", "receipt", str(receipt), "--key", key])
    assert shown.exit_code == 0, shown.output
    assert "Paciente: Iris Cordeiro" in shown.stdout
    assert re.search(
        r'^\d+\. \d\d/\d\d/\d{4} \d\d:\d\d · Paulo Reis \(Medicina, CRM-SP 123456\) · leu os dados de um paciente · '
        r'acesso de emergência: Emergência: "Dor" & febre 9\. 01/01/2020 · outra pessoa$',
        shown.stdout, re.MULTILINE,
    ), shown.stdout  # fmt: skip
    number, chain = re.findall(r"Evento (\d+) · ([0-9a-f]{64})", shown.stdout)[0]
    with databases.session(Principal.WORKER) as session:
        event = session.scalars(select(AuditLog).where(AuditLog.sequence == int(number))).one()
        assert event.hash.hex() == chain
    receipt.write_text(answer.get_data(as_text=True).replace("Paulo Reis", "Ana Moura"), encoding="utf-8")
    forged = CliRunner().invoke(cli.main, ["audit", "receipt", str(receipt), "--key", key])
    assert (forged.exit_code, forged.stdout) == (1, "")
    assert "This receipt proves nothing" in forged.stderr


def test_ones_own_looks_hide_nobody_elses(app: Flask, databases: Databases, cast: Cast, portal: Person) -> None:
    signed_in(app, databases, cast.doctor).client.get(f"/api/patients/{patient_of(portal)}")
    browser = signed_in(app, databases, portal)
    for _ in range(6):
        browser.get("/me")
    drain_all(databases)
    page = browser.get("/me").get_data(as_text=True)
    assert "<b>Você</b>" not in page and "<b>Ana Moura</b>" in page
    assert page.count("<b>Você</b>") == 0 < browser.get("/me?own=1").get_data(as_text=True).count("<b>Você</b>")


def test_a_patient_sees_nobody_elses_record(app: Flask, databases: Databases, cast: Cast, portal: Person) -> None:
    drain_all(databases)
    page = signed_in(app, databases, cast.stranger).get("/me").get_data(as_text=True)
    assert "Íris" not in page and "Gripe forte" not in page


def test_who_saw_it_goes_on_page_by_page_without_reading_the_record_again(
    app: Flask, databases: Databases, cast: Cast, portal: Person
) -> None:
    reader = signed_in(app, databases, cast.doctor)
    for _ in range(22):
        reader.client.get(f"/api/patients/{patient_of(portal)}")
    drain_all(databases)
    browser = signed_in(app, databases, portal)
    page = browser.get("/me").get_data(as_text=True)
    [more] = re.findall(r'hx-get="(/me\?cursor=[^"]+)"', page)
    headers = {"HX-Request": "true", "HX-Target": "li#accesses-more"}
    rest = browser.get(more, headers=headers).get_data(as_text=True)
    assert "<html" not in rest and "escreveu um registro" in rest and "Gripe" not in rest
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox.action).where(AuditOutbox.actor_id == portal.id).order_by(AuditOutbox.id)
        actions = list(session.scalars(query))
    assert actions.count("patient.read") == 1 and actions.count("access_log.read") == 2


def test_staff_see_their_account_and_no_record(app: Flask, databases: Databases, cast: Cast) -> None:
    page = signed_in(app, databases, cast.doctor).get("/me").get_data(as_text=True)
    assert cast.doctor.email in page and "CRM-SP 123456" in page and 'href="/password"' in page
    assert "Quem viu meu prontuário" not in page
    assert "records:read" in page and cast.doctor.token not in page


@pytest.fixture
def person(databases: Databases) -> Person:
    return make_person(databases, Role.NURSE, "Noa Dias")


def live(databases: Databases, person: Person) -> list[uuid.UUID]:
    with databases.session(Principal.ANONYMOUS) as session:
        query = select(Session.id).where(Session.user_id == person.id, Session.ended_at.is_(None))
        return list(session.scalars(query.order_by(Session.created_at)))


def test_security_05_a_user_lists_and_ends_own_sessions(app: Flask, databases: Databases, person: Person) -> None:
    with databases.session(Principal.ANONYMOUS) as session:
        origin = Origin(ip="203.0.113.9", user_agent=FIREFOX)
        lost = start_session(session, origin, person.id, person.actor.role)
    here = signed_in(app, databases, person)
    elsewhere = Browser(app)
    elsewhere.client.set_cookie("sigilo", lost.secret)
    assert elsewhere.get("/me").status_code == 200
    page = here.get("/me").get_data(as_text=True)
    assert "Firefox · Linux" in page and "203.0.113.9" in page and lost.secret not in page
    assert f'action="/me/sessions/{lost.session_id}/end"' in page
    assert page.count('/end"') == 1, "the present one ends by signing out"
    answer = here.post(f"/me/sessions/{lost.session_id}/end", {}, form="/me")
    assert answer.headers["Location"] == "/me?done=session-ended"
    assert elsewhere.get("/me").status_code == 401
    assert here.get("/me").status_code == 200
    assert here.post(f"/me/sessions/{lost.session_id}/end", {}, form="/me").status_code == 404


def test_security_05_all_others_end_at_once(app: Flask, databases: Databases, person: Person) -> None:
    others = [signed_in(app, databases, person) for _ in range(3)]
    here = signed_in(app, databases, person)
    assert here.post("/me/sessions/end-others", {}, form="/me").status_code == 303
    assert [other.get("/me").status_code for other in others] == [401] * 3
    assert len(live(databases, person)) == 1
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox.entity_id).where(
            AuditOutbox.actor_id == person.id, AuditOutbox.action == "session.end"
        )
        assert len(session.scalars(query).all()) == 3, "each is in the trail"


def test_security_05_nobody_ends_somebody_elses_session(
    app: Flask, databases: Databases, cast: Cast, person: Person
) -> None:
    signed_in(app, databases, person)
    [foreign] = live(databases, person)
    for who in (cast.doctor, cast.admin, cast.patient):
        answer = signed_in(app, databases, who).post(f"/me/sessions/{foreign}/end", {}, form="/me")
        assert answer.status_code == 404
    assert live(databases, person) == [foreign]


def test_the_page_costs_the_same_however_many_sessions(app: Flask, databases: Databases, person: Person) -> None:
    here = signed_in(app, databases, person)
    few = statements_sent(databases, lambda: here.get("/me"))
    for _ in range(5):
        signed_in(app, databases, person)
    assert statements_sent(databases, lambda: here.get("/me")) == few


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (FIREFOX, "Firefox · Linux"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome · Android"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge · Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari · iPhone"),
        ("curl/8.0", None),
        (None, None),
    ],
)
def test_a_browser_has_a_name(said: str | None, name: str | None) -> None:
    assert browser_name(said) == name
