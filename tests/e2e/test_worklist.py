"""The start page in real browsers: what one person does appears on another's open page by itself."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import Page, Request, expect
from sqlalchemy import text

from config import Principal, Settings
from models.engine import Databases
from services.field_encryption import field_cipher
from services.visit_create import NewVisit, create_visit
from tests.e2e.conftest import OpenAs
from tests.factories.cast import Cast, join_team, make_patient

pytestmark = pytest.mark.usefixtures("empty_room")


@pytest.fixture
def visit_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """Somebody who waits, whose care team the nurse belongs to."""
    patient_id = make_patient(databases, settings, "Otávio da Espera")
    join_team(databases, patient_id, cast.nurse.id)
    with databases.session(Principal.STAFF) as session:
        new = NewVisit(patient_id, "Tontura", "NORMAL")
        return create_visit(session, cast.reception.actor, field_cipher(settings), new)[0].id


def has_loaded(page: Page) -> None:
    """live.js has asked once, so the page is being watched."""
    with page.expect_response("**/live"):
        pass


def test_a_check_in_appears_on_the_doctors_open_page(
    open_as: OpenAs, databases: Databases, settings: Settings
) -> None:
    make_patient(databases, settings, "Iracema Que Chega")
    doctor, desk = open_as("doctor"), open_as("reception")
    has_loaded(doctor)
    doctor.evaluate("window.notReloaded = true")
    desk.get_by_label("Nome, CPF ou CNS do paciente").fill("iracema chega")
    desk.get_by_role("button", name="Buscar").click()
    desk.get_by_role("link", name="Registrar chegada de Iracema Que Chega").click()
    desk.get_by_label("Motivo da vinda").fill("Falta de ar")
    desk.get_by_label("Prioridade").select_option("CRITICAL")
    desk.get_by_role("button", name="Registrar chegada").click(no_wait_after=True)
    expect(desk.locator("#toasts")).to_contain_text("Chegada registrada")
    row = doctor.get_by_role("listitem").filter(has_text="Iracema Que Chega")
    expect(row).to_contain_text("Falta de ar")
    expect(doctor.get_by_role("status").first).to_contain_text("1 pessoa aguardando, 1 em prioridade crítica")
    assert doctor.evaluate("window.notReloaded")


def test_of_two_doctors_one_gets_the_patient_and_the_other_is_told(open_as: OpenAs, visit_id: uuid.UUID) -> None:
    first, second = open_as("doctor"), open_as("doctor2")
    second.route("**/live", lambda route: route.fulfill(json={"token": "same"}))  # it has not heard of it yet
    has_loaded(second)
    call = second.get_by_role("button", name="Chamar Otávio da Espera")
    expect(call).to_be_visible()
    with first.expect_response(f"**/visits/{visit_id}/call") as answered:
        first.get_by_role("button", name="Chamar Otávio da Espera").click()
    assert answered.value.status == 204
    call.click()
    expect(second.locator("#problems")).to_contain_text("Este paciente não está mais aguardando")
    expect(second.locator(f"#visit-{visit_id}")).to_contain_text("Ana Moura · desde")


def test_triage_changes_the_priority_before_the_doctors_eyes(open_as: OpenAs, visit_id: uuid.UUID) -> None:
    doctor, nurse = open_as("doctor"), open_as("nurse")
    row = doctor.locator(f"#visit-{visit_id}")
    expect(row).to_contain_text("Normal")
    has_loaded(doctor)
    nurse.get_by_role("link", name="Triar Otávio da Espera").click()
    nurse.get_by_label("Pressão sistólica (mmHg)").fill("190")
    nurse.get_by_label("Pressão diastólica (mmHg)").fill("120")
    nurse.get_by_label("Alta").check()
    nurse.get_by_role("button", name="Salvar triagem").click()
    expect(nurse.locator("#toasts")).to_contain_text("Triagem salva")
    expect(row).to_contain_text("Alta")


def test_security_04_a_page_that_is_only_open_keeps_no_session_alive(
    open_as: OpenAs, databases: Databases, settings: Settings, cast: Cast
) -> None:
    """Every request that it makes by itself says so; then seeing the person was long ago, and stays so."""
    page = open_as("doctor")
    has_loaded(page)
    alone: list[Request] = []
    page.on("request", lambda request: alone.append(request))  # noqa: PLW0108  (Playwright marks what it is given)
    seen = "SELECT max(last_seen_at) FROM sessions WHERE user_id = :me"
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text("UPDATE sessions SET last_seen_at = now() - interval '10 minutes' WHERE user_id = :me"),
            {"me": cast.doctor.id},
        )
        before = session.execute(text(seen), {"me": cast.doctor.id}).scalar_one()
    patient_id = make_patient(databases, settings, "Chega Sozinha")
    with databases.session(Principal.STAFF) as session:
        create_visit(session, cast.reception.actor, field_cipher(settings), NewVisit(patient_id, "Tosse", "LOW"))
    expect(page.get_by_role("listitem").filter(has_text="Chega Sozinha")).to_be_visible()
    asked = [request for request in alone if "/static/" not in request.url]
    assert asked
    assert [request.url for request in asked if request.headers.get("sigilo-background") != "1"] == []
    assert any(request.url.endswith("/") for request in alone), "the list was read anew"
    with databases.session(Principal.MIGRATOR) as session:
        assert session.execute(text(seen), {"me": cast.doctor.id}).scalar_one() == before


def test_filters_keep_their_place_and_work_by_keyboard(open_as: OpenAs, visit_id: uuid.UUID) -> None:
    page = open_as("doctor")
    page.get_by_role("link", name="Críticos").press("Enter")
    expect(page.get_by_text("Ninguém aguardando neste filtro.")).to_be_visible()
    expect(page.get_by_role("link", name="Críticos")).to_be_focused()
    page.get_by_role("link", name="Todos").first.press("Enter")
    expect(page.locator(f"#visit-{visit_id}")).to_be_visible()
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile("/medical-records/new$"))
