"""Finding a CID-10 code while writing a record: by keyboard, by pressing, and without a script."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect
from sqlalchemy import delete

from config import Principal, Settings
from models import Cid10Code, Cid10Release, Patient
from models.engine import Databases
from services.demo_cid10 import put_demo_table
from tests.e2e.conftest import OpenAs
from tests.factories.cast import Cast, join_team, make_patient

NEW = "/medical-records/new"


@pytest.fixture(autouse=True)
def codes(databases: Databases) -> Iterator[None]:
    with databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)
    yield
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(delete(Cid10Code))
        session.execute(delete(Cid10Release))


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Larissa Gomes Teixeira")
    join_team(databases, made, cast.doctor.id)
    with databases.session(Principal.STAFF) as session:
        session.get_one(Patient, made).sex = "FEMALE"
    return made


def test_codes_are_found_by_keyboard_and_looked_at(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", f"{NEW}?patientId={patient_id}")
    search, codes = page.get_by_role("combobox", name="Procurar um código…"), page.get_by_label("CID-10")
    expect(page.locator("noscript:has-text('Buscar')")).to_be_hidden()
    page.get_by_label("Título").fill("Retorno")
    search.press_sequentially("pressao alta")
    search.press("Enter")  # at once: no other tab opens, the list comes
    option = page.get_by_role("option", name="I10 Hipertensão essencial (primária)")
    expect(option).to_be_visible()
    assert len(page.context.pages) == 1 and page.url.endswith(str(patient_id)), "no word of it in an address"
    search.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    search.press("Enter")
    expect(codes).to_have_value("I10")
    expect(search).to_be_focused()
    expect(search).to_have_value("")
    search.press_sequentially("prostata")
    expect(page.get_by_role("option", name="N40")).to_contain_text("só para o outro sexo")
    page.get_by_role("option", name="N40").click()
    expect(codes).to_have_value("I10, N40")
    expect(page.locator("#cid10Codes-notes")).to_contain_text("N40: na CID-10, é só para o outro sexo")
    expect(page.locator("#draft-state")).to_contain_text("Rascunho salvo às")
    codes.fill("I10")
    codes.press("Tab")
    expect(page.locator("#cid10Codes-notes")).not_to_contain_text("N40")
    page.locator("main").get_by_role("button", name="Salvar registro").click()
    page.wait_for_url(re.compile("done=record-created"))
    expect(page.locator("main")).to_contain_text("I10")


def test_a_patient_chosen_after_the_code_is_looked_at_too(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", NEW)
    page.get_by_label("CID-10").fill("N40")
    page.get_by_label("CID-10").press("Tab")
    page.select_option("#patientId", str(patient_id))
    expect(page.locator("#cid10Codes-notes")).to_contain_text("só para o outro sexo")


def test_a_late_answer_about_the_codes_alone_does_not_hide_what_is_odd_for_the_patient(
    open_as: OpenAs, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", NEW)
    held: list[Route] = []
    page.route("**/medical-records/check", lambda route: held.append(route) if not held else route.continue_())
    page.get_by_label("CID-10").fill("N40")
    with page.expect_request("**/medical-records/check"):
        page.get_by_label("CID-10").press("Tab")
    page.select_option("#patientId", str(patient_id))
    expect(page.locator("#chosen-patient")).to_contain_text("Larissa Gomes Teixeira")
    expect(page.locator("#cid10Codes-notes")).to_contain_text("só para o outro sexo")
    held[0].fulfill(body="")
    expect(page.locator("#cid10Codes-notes")).to_contain_text("só para o outro sexo")


def test_without_a_script_the_list_opens_beside_the_form(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", f"{NEW}?patientId={patient_id}", java_script_enabled=False)
    page.get_by_label("Título").fill("Retorno")
    page.get_by_label("Procurar um código…").fill("próstata")
    with page.context.expect_page() as opened:
        page.locator("button[form=cid10-search-form]").click()
    other = opened.value
    expect(other.locator(".codes-found")).to_contain_text("N40")
    expect(other.locator(".codes-found")).to_contain_text("só para o outro sexo")
    expect(page.get_by_label("Título")).to_have_value("Retorno")
