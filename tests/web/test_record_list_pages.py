"""The list of records: pages, search, filters, names, empty states."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from config import Principal, Settings
from models import AuditOutbox
from models.engine import Databases
from tests.factories.cast import Cast, join_team, make_patient
from tests.services.test_query_counts import statements_sent
from tests.web.conftest import Browser
from tests.web.record_pages import browser_of, records_in, text_of, write, write_all

URL = "/medical-records"


@pytest.fixture(scope="module")
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient with 45 records, a minute apart."""
    patient_id = make_patient(databases, settings, "Muitos Registros", birth_date=date(1980, 5, 2))
    join_team(databases, patient_id, cast.doctor.id)
    start = datetime.now(UTC) - timedelta(hours=2)
    contents = [
        {
            "title": f"Nota {number}",
            "notes": "acompanhamento",
            "priority": "LOW" if number % 9 == 0 else "NORMAL",
            "occurredAt": start + timedelta(minutes=number),
        }
        for number in range(45)
    ]
    write_all(databases, settings, cast.doctor, patient_id, contents)
    return patient_id


def test_pages_without_a_script_neither_skip_nor_repeat(
    app: Flask, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    browser = browser_of(app, databases, cast.doctor)
    path, seen, pages = f"{URL}?patientId={patient_id}", [], 0
    while path:
        source = browser.get(path).get_data(as_text=True)
        seen += records_in(source)
        pages += 1
        following = re.search(r'<a class="btn" href="([^"]+cursor=[^"]+)">', source)
        path = following[1].replace("&amp;", "&") if following else ""
    assert pages == 3 and len(seen) == len(set(seen)) == 45


def test_a_search_goes_on_by_form_and_never_by_address(
    app: Flask, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    browser = browser_of(app, databases, cast.doctor)
    fields, seen = {"q": "acompanhamento", "patientId": str(patient_id)}, list[str]()
    for _ in range(3):
        source = browser.post(URL, fields).get_data(as_text=True)
        assert "acompanhamento" not in "".join(re.findall(r'(?:href|hx-get|action)="([^"]*)"', source))
        seen += records_in(source)
        cursor = re.search(r'name="cursor" value="([^"]+)"', source)
        fields = fields | ({"cursor": cursor[1]} if cursor else {})
    assert len(seen) == len(set(seen)) == 45 and cursor is None


def test_htmx_gets_the_list_and_the_count_alone(
    app: Flask, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    browser = browser_of(app, databases, cast.doctor)
    headers = {"HX-Request": "true", "HX-Target": "section#records"}
    fields = {"q": "", "patientId": str(patient_id), "priority": "LOW"}
    source = browser.post(URL, fields, headers=headers).get_data(as_text=True)
    assert source.strip().startswith("<section") and "<html" not in source
    assert len(records_in(source)) == 5
    assert re.search(r'<p id="records-count" hx-swap-oob="innerHTML">\s*5 registros', source)


def test_filters_by_day_are_the_clinics_days(app: Flask, databases: Databases, settings: Settings, cast: Cast) -> None:
    patient_id = make_patient(databases, settings, "De Madrugada")
    zone = settings.timezone
    late = datetime(2026, 3, 1, 23, 59, 59, tzinfo=zone)
    ids = [
        write(databases, settings, cast.doctor, patient_id, occurredAt=each)
        for each in (late, late + timedelta(seconds=1))
    ]
    browser = browser_of(app, databases, cast.doctor)
    for day, expected in (("2026-03-01", ids[0]), ("2026-03-02", ids[1])):
        source = browser.get(f"{URL}?patientId={patient_id}&from={day}&to={day}").get_data(as_text=True)
        assert records_in(source) == [str(expected)]


def test_a_wrong_day_is_said_and_what_was_typed_stays(app: Flask, databases: Databases, cast: Cast) -> None:
    answer = browser_of(app, databases, cast.doctor).post(URL, {"q": "dor", "from": "31/31/2026"})
    source = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert 'value="31/31/2026"' in source and 'value="dor"' in source and 'id="from-error"' in source


def test_the_two_empty_states(app: Flask, databases: Databases, settings: Settings, cast: Cast) -> None:
    browser = browser_of(app, databases, cast.doctor)
    patient_id = make_patient(databases, settings, "Sem Registro")
    nothing = text_of(browser.get(f"{URL}?patientId={patient_id}").get_data(as_text=True))
    assert "Ainda não há registros" in nothing and "Prontuário de Sem Registro" in nothing
    unmatched = browser.get(f"{URL}?patientId={patient_id}&priority=LOW").get_data(as_text=True)
    assert "Nada encontrado" in unmatched and f'href="{URL}?patientId={patient_id}"' in unmatched


def test_names_are_one_read_with_an_event_that_lists_them(
    app: Flask, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    browser = browser_of(app, databases, cast.reception)
    shown = text_of(browser.get(f"{URL}?patientId={patient_id}").get_data(as_text=True))
    assert "Muitos Registros" in shown and "02/05/1980" in shown
    wanted = select(AuditOutbox).where(AuditOutbox.action == "patient.list", AuditOutbox.actor_id == cast.reception.id)
    with databases.session(Principal.WORKER) as session:
        event = session.scalars(wanted.order_by(AuditOutbox.id.desc())).first()
    assert event is not None and event.entity_ids == [patient_id]


def test_statements_do_not_grow_with_rows(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    browser = browser_of(app, databases, cast.doctor)
    one = make_patient(databases, settings, "Um Registro")
    write(databases, settings, cast.doctor, one)
    few = statements_sent(databases, lambda: browser.get(f"{URL}?patientId={one}"))
    assert statements_sent(databases, lambda: browser.get(f"{URL}?patientId={patient_id}")) == few
    assert statements_sent(databases, lambda: browser.get(URL)) == few, "with twenty patients' names"


def test_who_sees_no_titles_is_offered_no_search_for_words(app: Flask, databases: Databases, cast: Cast) -> None:
    def searches(browser: Browser) -> bool:
        return 'id="q"' in browser.get(URL).get_data(as_text=True)

    assert searches(browser_of(app, databases, cast.nurse2))
    assert not searches(browser_of(app, databases, cast.reception))
