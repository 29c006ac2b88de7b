"""What somebody was told, and the bell."""

from __future__ import annotations

import re
import uuid

import pytest
from flask import Flask
from sqlalchemy import select

from config import Principal, Settings
from models import AuditOutbox, Notification, Role
from models.engine import Databases
from services.break_glass import NOTIFICATION, break_glass
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person
from tests.services.test_query_counts import statements_sent
from tests.web.signed_in import signed_in


@pytest.fixture
def doctor(databases: Databases) -> Person:
    """A doctor who was told nothing yet."""
    return make_person(databases, Role.DOCTOR, "Lia Campos")


def tell(databases: Databases, settings: Settings, cast: Cast, doctor: Person) -> uuid.UUID:
    """Have the glass broken on a patient of ``doctor``; gives the grant."""
    patient = make_patient(databases, settings, "Íris Cordeiro")
    join_team(databases, patient, doctor.id)
    with databases.session(Principal.STAFF) as session:
        return break_glass(session, cast.doctor2.actor, patient, reason="Plantão no pronto-socorro").id


def own(databases: Databases, person: Person) -> list[Notification]:
    with databases.session(Principal.STAFF) as session:
        return list(session.scalars(select(Notification).where(Notification.user_id == person.id)))


def test_a_notice_says_who_did_what_and_leads_there(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, doctor: Person
) -> None:
    browser = signed_in(app, databases, doctor)
    assert "Nenhum aviso para você." in browser.get("/notifications").get_data(as_text=True)
    grant = tell(databases, settings, cast, doctor)
    page = browser.get("/notifications").get_data(as_text=True)
    assert "Paulo Reis abriu um acesso de emergência a Íris Cordeiro" in page
    assert 'aria-label="1 aviso novo"' in page
    [notice] = own(databases, doctor)
    place = f"/emergency-accesses/{grant}"
    answer = browser.post(f"/notifications/{notice.id}/read", {"next": place}, form="/notifications")
    assert answer.headers["Location"] == place
    assert 'class="count"' not in browser.get("/notifications").get_data(as_text=True)
    first = own(databases, doctor)[0].read_at
    browser.post(f"/notifications/{notice.id}/read", {"next": place}, form="/notifications")
    assert own(databases, doctor)[0].read_at == first is not None


def test_all_are_marked_at_once_and_only_ones_own(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, doctor: Person
) -> None:
    for _ in range(2):
        tell(databases, settings, cast, doctor)
    other = make_person(databases, Role.DOCTOR, "Ivo Breve")
    tell(databases, settings, cast, other)
    browser = signed_in(app, databases, doctor)
    [foreign] = own(databases, other)
    refused = browser.post(f"/notifications/{foreign.id}/read", {}, form="/notifications")
    assert refused.status_code == 404
    browser.post("/notifications/read", {}, form="/notifications")
    assert [notice.read_at is None for notice in own(databases, doctor)] == [False, False]
    assert own(databases, other)[0].read_at is None


def test_security_40_the_bell_alone_is_a_number_and_no_event(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, doctor: Person
) -> None:
    tell(databases, settings, cast, doctor)
    browser = signed_in(app, databases, doctor)
    bell = browser.get("/notifications/bell", headers={"HX-Request": "true"}).get_data(as_text=True)
    assert '<b class="count">1</b>' in bell and "<html" not in bell and "Íris" not in bell
    with databases.session(Principal.WORKER) as session:
        actions = session.scalars(select(AuditOutbox.action).where(AuditOutbox.actor_id == doctor.id)).all()
    assert set(actions) <= {"session.login"}


def test_the_auditor_and_a_role_without_names_get_none(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, doctor: Person
) -> None:
    grant = tell(databases, settings, cast, doctor)
    with databases.session(Principal.STAFF) as session:
        session.add(Notification(user_id=cast.auditor.id, kind=NOTIFICATION, subject_id=grant))
    page = signed_in(app, databases, cast.auditor).get("/notifications").get_data(as_text=True)
    assert "Alguém abriu um acesso de emergência" in page
    assert "Paulo Reis" not in page and "Íris" not in page


def test_an_unknown_kind_is_shown_all_the_same(app: Flask, databases: Databases, doctor: Person) -> None:
    with databases.session(Principal.STAFF) as session:
        session.add(Notification(user_id=doctor.id, kind="something.new"))
    page = signed_in(app, databases, doctor).get("/notifications").get_data(as_text=True)
    assert "Algo precisa da sua atenção" in page


def test_long_lists_go_on_and_cost_no_more_statements(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, doctor: Person
) -> None:
    browser = signed_in(app, databases, doctor)
    tell(databases, settings, cast, doctor)
    few = statements_sent(databases, lambda: browser.get("/notifications"))
    with databases.session(Principal.STAFF) as session:
        session.add_all(Notification(user_id=doctor.id, kind="something.new") for _ in range(25))
    assert statements_sent(databases, lambda: browser.get("/notifications")) == few
    page = browser.get("/notifications").get_data(as_text=True)
    more = re.findall(r'hx-get="(/notifications\?cursor=[^"]+)"', page)
    rest = browser.get(more[0], headers={"HX-Request": "true", "HX-Target": "li#notices-more"}).get_data(as_text=True)
    assert page.count("<time") == 20 and rest.count("<time") == 6 and "<html" not in rest
