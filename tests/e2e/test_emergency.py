"""The glass broken, read through, closed; reviewed by the auditor; seen by the patient. And who is told, live."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from config import Principal, Settings
from models import Role
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.audit.trail import drain_all
from tests.e2e.conftest import PHONE, OpenAs
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, Person, join_team, make_cpf, make_patient, make_person
from tests.factories.emergency import make_grant

WHY = "Dor torácica no plantão, preciso das medicações"
CPF = make_cpf()  # another test's patient may have any that is written down
MASKED, CLEAR = f"***.{CPF[3:6]}.{CPF[6:9]}-**", f"{CPF[:3]}.{CPF[3:6]}.{CPF[6:9]}-{CPF[9:]}"


@pytest.fixture
def portal(databases: Databases, settings: Settings, cast: Cast) -> Iterator[Person]:
    """A patient of the doctor's with a record, who can sign in."""
    patient = make_patient(databases, settings, "Íris Cordeiro", cpf=CPF)
    join_team(databases, patient, cast.doctor.id)
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient, {"title": "Consulta", "diagnosis": "Sigiloso"})
        create_record(session, cast.doctor.actor, field_cipher(settings), new)
    yield make_person(databases, Role.PATIENT, "Iris Cordeiro", patient_id=patient)
    with databases.autocommit(Principal.STAFF) as connection:
        connection.execute("UPDATE patients SET cpf_index = NULL, cpf_cipher = NULL WHERE id = %s", (patient,))


def patient_of(person: Person) -> uuid.UUID:
    assert person.actor.patient_id is not None
    return person.actor.patient_id


def no_sideways_scrolling(page: Page) -> None:
    assert page.evaluate("document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth")


def test_broken_read_closed_reviewed_and_seen(
    open_as: OpenAs, databases: Databases, cast: Cast, portal: Person
) -> None:
    glass = f"/patients/{patient_of(portal)}/break-glass"
    team = open_as("doctor", "/notifications")
    told = team.locator("#bell")
    expect(team.locator("#notices")).to_be_visible()

    reader = open_as("doctor2", glass)
    expect(reader.get_by_text(MASKED)).to_be_visible()
    reader.get_by_role("button", name="Ver todos os dados por 30 minutos").click()  # the browser asks for the reason
    reader.get_by_label("Do que se trata?").select_option(label="Emergência")
    reader.get_by_label("Por que você precisa ver este paciente").fill(WHY)
    reader.evaluate("path => { document.querySelector('main [name=next]').value = path }", glass)
    reader.get_by_role("button", name="Ver todos os dados por 30 minutos").click()
    expect(reader.get_by_text(CLEAR)).to_be_visible()
    strip = reader.get_by_role("region", name="Acesso de emergência")
    expect(strip).to_contain_text(f"Emergência: {WHY}")
    expect(strip.get_by_role("timer")).to_contain_text(re.compile(r"\((30:00|29:\d\d)\)"))

    # The team is told on a page that was open already.
    expect(told.locator(".count")).to_be_visible(timeout=5000)
    expect(team.get_by_text("Paulo Reis abriu um acesso de emergência a Íris Cordeiro").first).to_be_visible()

    strip.get_by_role("button", name="Encerrar agora").click()
    expect(reader.get_by_text("Acesso de emergência encerrado.")).to_be_visible()
    expect(reader.get_by_text(MASKED)).to_be_visible()
    expect(reader.get_by_text(CLEAR)).to_have_count(0)

    drain_all(databases)
    team.get_by_role("button", name="Abrir").first.click()
    expect(team.get_by_role("heading", name="Acesso de emergência de")).to_be_visible()
    expect(team.get_by_text("leu os dados de um paciente").first).to_be_visible()

    auditor = open_as("auditor", team.url)
    assert "Íris" not in auditor.content() and WHY not in auditor.content()
    auditor.get_by_label("Justificado", exact=True).check()
    auditor.get_by_role("button", name="Salvar a revisão").click()
    expect(auditor.get_by_text("Revisão salva.")).to_be_visible()

    drain_all(databases)
    own = open_as(portal, "/me", viewport=PHONE)
    seen = own.locator("#accesses")
    expect(seen).to_contain_text("Paulo Reis")
    expect(seen).to_contain_text(f"acesso de emergência: Emergência: {WHY}")
    expect(seen).to_contain_text("revisou um acesso de emergência")
    no_sideways_scrolling(own)


def test_an_open_page_masks_itself_when_the_time_is_over(
    open_as: OpenAs, databases: Databases, cast: Cast, portal: Person
) -> None:
    patient = patient_of(portal)
    grant = make_grant(databases, cast.doctor2, patient, minutes_left=10)
    page = open_as("doctor2", "/me")
    page.clock.install()
    page.goto(f"/patients/{patient}/break-glass")
    expect(page.get_by_text(CLEAR)).to_be_visible()
    with databases.autocommit(Principal.STAFF) as connection:
        connection.execute("UPDATE break_glass_grants SET expires_at = now() WHERE id = %s", (grant,))
    page.clock.fast_forward("10:05")
    expect(page.get_by_text(MASKED)).to_be_visible()
    expect(page.get_by_text(CLEAR)).to_have_count(0)


def test_the_trail_by_keyboard_and_on_a_phone(open_as: OpenAs, databases: Databases) -> None:
    person = make_person(databases, Role.NURSE, "Ubirajara da Trilha")
    for _ in range(2):
        open_session(databases, person)
    drain_all(databases)
    page = open_as("auditor", "/audit", viewport=PHONE)
    no_sideways_scrolling(page)
    first = page.locator("details.event summary").first
    first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Número na cadeia").first).to_be_visible()
    no_sideways_scrolling(page)
    page.get_by_text("Buscar alguém da equipe da clínica pelo nome").click()
    page.get_by_role("searchbox", name="Nome").fill("ubirajara")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Ubirajara da Trilha").click()
    expect(page.get_by_label("Código da pessoa")).to_have_value(str(person.id))
    expect(page).to_have_url(re.compile(rf"/audit\?actorId={person.id}$"))
    # All that this person ever did, and so nothing older to show.
    events = page.locator("details.event")
    expect(events).to_have_count(2)
    for event in events.all():
        expect(event.locator("summary")).to_contain_text(f"…{str(person.id)[-8:]}")
    expect(page.get_by_text("Mostrar eventos anteriores")).to_have_count(0)
