"""Suggestions in a real browser: asked for, taken, taken back and saved, by keyboard."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from config import Principal, Settings
from models import Cid10Code, Cid10Release, Visit
from models.engine import Databases
from services.ai_run import run_next
from services.demo_cid10 import put_demo_table
from services.field_encryption import field_cipher
from tests.e2e.conftest import OpenAs
from tests.factories.cast import Cast, join_team, make_patient
from tests.factories.question import empty_queue


@pytest.fixture(autouse=True)
def codes(databases: Databases) -> Iterator[None]:
    empty_queue(databases)
    with databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)
    yield
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(delete(Cid10Code))
        session.execute(delete(Cid10Release))


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Teodora Sugerida")
    for person in (cast.doctor, cast.nurse):
        join_team(databases, made, person.id)
    return made


def ask(page: Page, button: str, databases: Databases, settings: Settings) -> None:
    """By keyboard, answered by rules."""
    page.get_by_role("button", name=button).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("A sua é a próxima pergunta.")).to_be_visible()
    while run_next(databases, field_cipher(settings), None):
        pass


def test_a_code_is_suggested_taken_and_taken_back(
    open_as: OpenAs, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", f"/medical-records/new?patientId={patient_id}")
    page.get_by_label("Título").fill("Retorno")
    page.get_by_label("Diagnóstico").fill("pressão alta")
    card, codes = page.locator("#code-suggestions"), page.locator("#cid10Codes")
    ask(page, "Sugerir códigos", databases, settings)
    expect(card.get_by_role("button", name="Parar")).not_to_be_focused()
    taken = card.get_by_role("button", name="I10", exact=True)
    expect(taken).to_have_attribute("aria-pressed", "false")
    expect(codes).to_have_value("")
    taken.focus()
    page.keyboard.press("Enter")
    expect(codes).to_have_value("I10")
    expect(taken).to_have_attribute("aria-pressed", "true")
    expect(card.get_by_role("button", name="Rejeitar")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(codes).to_have_value("")
    expect(page.locator("[name=helpedBy]")).to_have_value("")
    page.keyboard.press("Enter")
    old = card.get_by_text("O diagnóstico mudou desde então.")
    expect(old).to_be_hidden()
    page.get_by_label("Diagnóstico").fill("pressão alta, sem controle")
    expect(old).to_be_visible()
    page.get_by_label("Título").press("Enter")  # saves: no button of the card is what Enter presses
    page.wait_for_url(re.compile("done=record-created"))
    expect(page.locator("#main")).to_contain_text("CID-10 escolhido com apoio de busca automática por regras")


def test_another_patient_takes_suggestions_and_their_codes_away(
    open_as: OpenAs, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    other = make_patient(databases, settings, "Ulisses Outro")
    join_team(databases, other, cast.doctor.id)
    page = open_as("doctor", f"/medical-records/new?patientId={patient_id}")
    page.get_by_label("Diagnóstico").fill("pressão alta")
    page.locator("#cid10Codes").fill("J45.9")
    ask(page, "Sugerir códigos", databases, settings)
    page.locator("#code-suggestions").get_by_role("button", name="I10", exact=True).click()
    expect(page.locator("#cid10Codes")).to_have_value("J45.9, I10")
    page.select_option("#patientId", str(other))
    expect(page.locator("#chosen-patient")).to_contain_text("Ulisses Outro")
    expect(page.locator("#cid10Codes")).to_have_value("J45.9")
    expect(page.locator("#code-suggestions [data-takes]")).to_have_count(0)
    expect(page.locator("[name=helpedBy]")).to_have_value("")


@pytest.mark.usefixtures("empty_room")
def test_a_priority_is_suggested_taken_and_changed(
    open_as: OpenAs, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        visit = Visit(patient_id=patient_id, reason="Tosse", priority="NORMAL", checked_in_by=cast.reception.id)
        session.add(visit)
    page = open_as("nurse", f"/visits/{visit.id}/triage")
    page.get_by_label("Saturação de oxigênio (%)").fill("84")
    ask(page, "Sugerir prioridade", databases, settings)
    card = page.locator("#priority-suggestion")
    expect(card).to_contain_text("SpO2 84%")
    expect(page.get_by_role("radio", name="Normal")).to_be_checked()
    card.get_by_role("button", name="Usar Crítica").click()
    expect(page.get_by_role("radio", name="Crítica")).to_be_checked()
    page.get_by_role("radio", name="Alta").check()
    expect(card.get_by_role("button", name="Usar Crítica")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Salvar triagem").click()
    page.wait_for_url(re.compile("done=triage-saved|/$"))
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(Visit, visit.id).priority == "HIGH", "what the nurse chose"
