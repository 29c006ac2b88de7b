"""Records in a browser: find one, page through all, act on it, compare its versions, print it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from config import Principal, Settings
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_update import may_update, update_record
from tests.e2e.conftest import PHONE, OpenAs
from tests.factories.cast import Cast, join_team, make_patient
from tests.web.record_pages import SECRETS, write, write_all


@pytest.fixture(scope="module")
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient with 45 records, of which one speaks of a migraine."""
    patient_id = make_patient(databases, settings, "Joaquim Comprido das Neves")
    join_team(databases, patient_id, cast.doctor.id, "RESPONSIBLE")
    start = datetime.now(UTC) - timedelta(days=1)
    contents = [
        {
            "title": f"Nota {number}",
            "notes": "Enxaqueca com aura" if number == 3 else "sem queixas",
            "priority": "CRITICAL" if number == 4 else "NORMAL",
            "occurredAt": start + timedelta(minutes=number),
        }
        for number in range(45)
    ]
    write_all(databases, settings, cast.doctor, patient_id, contents)
    return patient_id


@pytest.fixture
def record_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    patient_id = make_patient(databases, settings, "Vanessa Porto")
    join_team(databases, patient_id, cast.doctor.id, "RESPONSIBLE")
    record_id = write(
        databases, settings, cast.doctor, patient_id, title="Retorno", diagnosis="Hipertensão essencial",
        treatment="Losartana 50 mg", notes="Nega cefaleia", cid10Codes=["I10"],
    )  # fmt: skip
    with databases.session(Principal.STAFF) as session:
        access = may_update(session, cast.doctor.actor, record_id)
        cipher = field_cipher(settings)
        update_record(session, cast.doctor.actor, cipher, access, version=1, content={"treatment": "Losartana 100 mg"})
    return record_id


def test_search_and_filters_replace_the_list_and_leave_the_focus(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", f"/medical-records?patientId={patient_id}")
    words = page.get_by_label("Palavras no registro")
    words.press_sequentially("enxaqueca")
    expect(page.locator(".records .what a")).to_have_text(["Nota 3"])
    expect(page.get_by_role("status").filter(has_text="1 registro")).to_be_visible()
    expect(words).to_be_focused()
    assert "enxaqueca" not in page.url
    words.fill("")
    expect(page.locator("#records-count")).to_contain_text("Os primeiros 20")
    page.get_by_label("Prioridade").select_option("CRITICAL")
    expect(page.locator(".records .what a")).to_have_text(["Nota 4"])
    page.get_by_label("Até").fill("2020-01-01")
    expect(page.get_by_text("Nada encontrado")).to_be_visible()
    page.locator("#records").get_by_role("link", name="Limpar filtros").click()
    expect(page.locator(".records .what a").first).to_have_text("Nota 44")


@pytest.mark.parametrize("searched", [False, True])
def test_scrolling_brings_every_record_once(open_as: OpenAs, patient_id: uuid.UUID, searched: bool) -> None:
    page = open_as("doctor", f"/medical-records?patientId={patient_id}")
    wanted = [f"Nota {number}" for number in reversed(range(45))]
    rows = page.locator(".records .what a")
    if searched:
        page.get_by_label("Palavras no registro").fill("sem queixas")
        expect(page.locator(".records form")).to_be_attached()
        wanted.remove("Nota 3")
    for count in (40, len(wanted)):
        rows.last.scroll_into_view_if_needed()
        page.mouse.wheel(0, 4000)
        expect(rows).to_have_count(count)
    assert sorted(rows.all_inner_texts()) == sorted(wanted)


def test_the_first_page_shows_what_somebody_else_writes(
    open_as: OpenAs, databases: Databases, settings: Settings, cast: Cast
) -> None:
    patient_id = make_patient(databases, settings, "Ao Vivo")
    page = open_as("doctor2", f"/medical-records?patientId={patient_id}")
    expect(page.get_by_text("Ainda não há registros")).to_be_visible()
    with page.expect_response("**/live"):
        pass
    for title in ("Primeira", "Segunda"):
        write(databases, settings, cast.doctor, patient_id, title=title)
        expect(page.locator(".records .what a").first).to_have_text(title)


@pytest.mark.parametrize("who", ["doctor2", "nurse2", "reception", "admin"])
def test_masked_values_are_not_in_the_source(open_as: OpenAs, record_id: uuid.UUID, who: str) -> None:
    page = open_as(who, f"/medical-records/{record_id}", viewport=PHONE)
    assert not any(secret in page.content() for secret in SECRETS)
    expect(page.locator("dl.record .masked").first).to_be_visible()
    expect(page.get_by_text("Você não está na equipe deste paciente.")).to_have_count(int(who in ("doctor2", "nurse2")))
    assert page.evaluate("[...document.querySelectorAll('main *')].every(e => e.getBoundingClientRect().right <= 391)")


def test_close_inactivate_and_restore(open_as: OpenAs, record_id: uuid.UUID) -> None:
    page = open_as("doctor", f"/medical-records/{record_id}")
    page.get_by_role("link", name="Fechar…").click()
    page.get_by_role("button", name="Fechar o registro").click()
    expect(page.get_by_role("status").filter(has_text="Registro fechado")).to_be_visible()
    expect(page.get_by_role("link", name="Corrigir")).to_be_visible()
    expect(page.get_by_role("link", name="Fechar…")).to_have_count(0)
    page.get_by_role("link", name="Inativar…").click()
    dialog = page.get_by_role("dialog", name="Inativar este registro?")
    dialog.get_by_label("Motivo").fill("   ")
    dialog.get_by_role("button", name="Inativar").click()
    expect(dialog.locator("#reason-error")).not_to_be_empty()
    dialog.get_by_label("Motivo").fill("aberto duas vezes")
    dialog.get_by_role("button", name="Inativar").click()
    expect(page.get_by_text("Este registro está inativo desde")).to_be_visible()
    expect(page.locator(".alert q")).to_have_text("aberto duas vezes")
    page.goto(f"/medical-records/{record_id}")
    page.get_by_role("link", name="Restaurar…").click()
    page.get_by_label("Motivo").fill("era válido")
    page.get_by_role("button", name="Restaurar o registro").click()
    expect(page.get_by_role("link", name="Inativar…")).to_be_visible()


def test_versions_are_compared_word_by_word(open_as: OpenAs, record_id: uuid.UUID) -> None:
    page = open_as("doctor", f"/medical-records/{record_id}")
    page.get_by_role("link", name="Comparar").click()
    changed = page.locator("dl.record .changed")
    expect(changed.locator("del")).to_have_text("50")
    expect(changed.locator("ins")).to_have_text("100")
    page.get_by_label("Da versão", exact=True).select_option("2")
    page.get_by_role("button", name="Comparar").click()
    expect(page.get_by_role("heading", name="Versão 2", exact=True)).to_be_visible()


def test_a_print_says_who_printed_it_and_of_which_product(open_as: OpenAs, record_id: uuid.UUID) -> None:
    page = open_as("doctor", f"/medical-records/{record_id}")
    page.get_by_role("button", name="Imprimir").click()
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", name="Vanessa Porto")).to_be_visible()
    expect(page.get_by_text("Losartana 100 mg")).to_be_visible()
    expect(
        page.get_by_text(re.compile(r"Impresso por Ana Moura · CRM-SP 123456 em \d\d/\d\d/\d{4} \d\d:\d\d"))
    ).to_be_visible()
    expect(page.get_by_text("Sigilo 1.0.0")).to_be_visible()
    expect(page.get_by_role("button", name="Imprimir")).to_be_hidden()


def test_the_keyboard_alone_reaches_a_record_and_its_acts(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", f"/medical-records?patientId={patient_id}")
    page.get_by_label("Palavras no registro").focus()
    page.keyboard.type("enxaqueca")
    expect(page.locator(".records .what a")).to_have_text(["Nota 3"])
    for _ in range(25):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Nota 3":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nota 3")).to_be_visible()
    page.get_by_role("link", name="Fechar…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Fechar…")).to_be_focused()
