"""Finding, registering and correcting patients as reception and doctors do it, in a real browser."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import Page, expect

from config import Settings
from models.engine import Databases
from tests.e2e.conftest import PHONE, OpenAs
from tests.factories.cast import Cast, join_team, make_patient


@pytest.fixture
def own_patient(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient of the cast's doctor and nurse, for a test to change."""
    made = make_patient(databases, settings, f"Érica Tábua {uuid.uuid4().hex[:6]}", responsible_id=cast.doctor.id)
    join_team(databases, made, cast.doctor.id, "RESPONSIBLE")
    join_team(databases, made, cast.nurse.id)
    return made


def fits(page: Page) -> bool:
    """Whether the content itself is as wide as the screen; the bar on top is the shell's."""
    return bool(page.evaluate("document.querySelector('main').scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("typed", ["conceição áv", "AVILA CONCEICAO"])
def test_a_patient_is_found_while_typing_with_and_without_accents(open_as: OpenAs, typed: str) -> None:
    page = open_as("doctor", "/patients")
    page.get_by_label("Nome, CPF ou CNS").press_sequentially(typed)
    found = page.locator("#patients-found")
    expect(found.get_by_role("link")).to_have_count(1)
    expect(found).to_contain_text("na sua equipe")
    assert page.url.endswith("/patients"), "no name stands in an address"
    found.get_by_role("link", name="Conceição Ávila").click()
    expect(page.locator("h1")).to_have_text("Conceição Ávila")


def test_the_search_on_top_leads_to_the_list(open_as: OpenAs) -> None:
    page = open_as("reception", "/password")
    page.keyboard.press("/")
    page.keyboard.type("conceicao avila")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Conceição Ávila")).to_be_visible()
    expect(page.get_by_label("Nome, CPF ou CNS")).to_have_value("conceicao avila")


def test_registering_somebody_with_a_namesake(open_as: OpenAs, own_patient: uuid.UUID) -> None:
    page = open_as("reception", f"/patients/{own_patient}")
    name = page.locator("h1").inner_text()
    page.goto("/patients")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Cadastrar paciente").click()
    page.get_by_label("Nome completo").fill(name.replace("Érica Tábua", "erica tabua"))
    page.get_by_label("Sexo").select_option("FEMALE")
    cpf = page.get_by_label("CPF", exact=True)
    cpf.fill("111.111.111-11")
    cpf.press("Tab")
    expect(page.locator("#cpf-error")).to_contain_text("Este CPF não confere")
    cpf.fill("")
    cpf.press("Tab")
    expect(page.locator("#cpf-error")).to_have_text("")
    page.get_by_label("Telefone").fill("11 5555-0123")
    page.locator("main").get_by_role("button", name="Cadastrar paciente").click()
    expect(page.get_by_role("heading", name="Será alguém já cadastrado?")).to_be_visible()
    expect(page.locator("#homonyms")).to_be_focused()
    expect(page.get_by_role("link", name="É esta pessoa: abrir")).to_have_attribute("href", f"/patients/{own_patient}")
    expect(page.get_by_label("Telefone")).to_have_value("11 5555-0123")
    page.get_by_role("button", name="É outra pessoa: cadastrar assim mesmo").click()
    expect(page).to_have_url(re.compile(r"/patients/[0-9a-f-]{36}$"))
    expect(page.locator(".toast")).to_have_text("Paciente cadastrado.")
    expect(page.locator("h1")).to_contain_text("erica tabua")
    assert str(own_patient) not in page.url


def test_noting_an_allergy_says_what_is_wrong_and_then_warns_everybody_on_the_team(
    open_as: OpenAs, own_patient: uuid.UUID
) -> None:
    page = open_as("nurse", f"/patients/{own_patient}")
    card = page.locator("#allergies")
    card.get_by_text("Anotar alergia").click()
    card.get_by_label("Reação").fill("Urticária")
    card.get_by_role("button", name="Salvar alergia").click()
    expect(card.get_by_role("alert")).to_contain_text("Preencha este campo")
    expect(card.get_by_label("Reação")).to_have_value("Urticária")
    card.get_by_label("Substância").fill("Látex")
    card.get_by_label("Gravidade").select_option("SEVERE")
    card.get_by_role("button", name="Salvar alergia").click()
    expect(page.locator(".toast")).to_have_text("Alergia anotada.")
    expect(page.locator(".alert.allergy")).to_contain_text("Látex (Urticária)")


def test_a_page_says_what_somebody_else_changed_about_its_patient_and_not_what_it_changed_itself(
    open_as: OpenAs, own_patient: uuid.UUID
) -> None:
    mine, theirs = (open_as(who, f"/patients/{own_patient}") for who in ("doctor", "nurse"))
    form = open_as("doctor", f"/medical-records/new?patientId={own_patient}")
    theirs.get_by_text("Anotar alergia").click()
    theirs.get_by_label("Substância").fill("Penicilina")
    with theirs.expect_response(re.compile("/live")) as told:
        theirs.get_by_role("button", name="Salvar alergia").click()
    expect(theirs.locator("#allergies")).to_contain_text("Penicilina")
    assert told.value.ok
    news = mine.locator("#patient-changed")
    expect(news).to_be_visible()
    expect(form.get_by_role("link", name="Ver o paciente em outra aba")).to_be_visible()
    expect(mine.locator("#allergies")).not_to_contain_text("Penicilina")
    news.get_by_role("button", name="Mostrar o que há de novo").click()
    expect(mine.locator("#allergies")).to_contain_text("Penicilina")
    expect(news).to_be_hidden()
    for _ in range(2):  # asked anew since, and no news to whoever made it
        with theirs.expect_response(re.compile("/live")):
            pass
    expect(theirs.locator("#patient-changed")).to_be_hidden()


def test_the_team_gets_a_colleague_and_the_responsible_doctor_hands_over(
    open_as: OpenAs, own_patient: uuid.UUID
) -> None:
    page = open_as("reception", f"/patients/{own_patient}/care-team")
    page.get_by_label("Nome ou registro no conselho").press_sequentially("paulo re")
    expect(page.get_by_role("radio")).to_have_count(1)
    page.get_by_role("radio").check()
    page.get_by_role("button", name="Incluir na equipe").click()
    expect(page.locator(".members b", has_text="Paulo Reis")).to_be_visible()
    page.get_by_label("Quem assume").select_option(label="Paulo Reis · CRM-SP 123456")
    page.get_by_role("button", name="Retirar Ana Moura").click()
    expect(page.get_by_role("button", name="Retirar Ana Moura")).to_have_count(0)
    expect(page.locator(".members li", has_text="Paulo Reis")).to_contain_text("responsável")


def test_inactivating_in_a_dialog_and_restoring(open_as: OpenAs, own_patient: uuid.UUID) -> None:
    page = open_as("doctor", f"/patients/{own_patient}")
    name = page.locator("h1").inner_text()
    page.get_by_role("link", name="Inativar este paciente").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Motivo").fill("cadastro em duplicidade")
    dialog.get_by_role("button", name="Inativar").click()
    expect(page.get_by_text("Este paciente foi inativado em")).to_be_visible()
    expect(page.locator("h1")).to_have_text(name)
    page.get_by_label("Motivo").fill("era outra pessoa")
    page.get_by_role("button", name="Restaurar").click()
    expect(page.locator(".toast")).to_have_text("Paciente restaurado.")


def test_two_people_correct_the_same_phone(open_as: OpenAs, own_patient: uuid.UUID) -> None:
    path = f"/patients/{own_patient}/edit"
    doctor, reception = open_as("doctor", path), open_as("reception", path)
    reception.get_by_label("Telefone").fill("11 5555-0001")
    reception.get_by_role("button", name="Salvar").click()
    expect(reception.locator(".toast")).to_have_text("Paciente salvo.")
    doctor.get_by_label("Telefone").fill("11 5555-0002")
    doctor.get_by_role("button", name="Salvar").click()
    expect(doctor.get_by_role("heading", name="Alguém alterou os mesmos campos")).to_be_visible()
    expect(doctor.locator("input[type=radio]:checked")).to_have_count(0)
    expect(doctor.get_by_role("button", name="Para salvar, escolha: Telefone")).to_be_visible()
    doctor.get_by_label("Salvo por outra pessoa: 11 5555-0001").check()
    doctor.get_by_label("Telefone: outro valor").fill("11 5555-0003")
    expect(doctor.get_by_label("Outro valor", exact=True)).to_be_checked()
    doctor.get_by_role("button", name="Salvar estas escolhas").click()
    expect(doctor).to_have_url(re.compile(f"/patients/{own_patient}$"))
    expect(doctor.get_by_text("11 5555-0003")).to_be_visible()


def test_a_phone_shows_every_page_of_a_patient_whole(open_as: OpenAs, own_patient: uuid.UUID) -> None:
    page = open_as("doctor", "/patients", viewport=PHONE)
    for path in ("/patients", f"/patients/{own_patient}", f"/patients/{own_patient}/edit", "/patients/new",
                 f"/patients/{own_patient}/care-team"):  # fmt: skip
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        assert fits(page), path
    page.goto(f"/patients/{own_patient}")
    page.get_by_role("link", name="Registrar chegada").click()
    expect(page.get_by_label("Espera por")).to_be_visible()


def test_a_browser_without_scripts_reaches_the_dialog_too(open_as: OpenAs, own_patient: uuid.UUID) -> None:
    page = open_as("doctor", f"/patients/{own_patient}", java_script_enabled=False)
    page.get_by_role("link", name="Inativar este paciente").click()
    expect(page.get_by_label("Motivo obrigatório")).to_be_visible()
