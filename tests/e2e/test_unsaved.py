"""Leaving a page with unsaved text asks first; sending it, or taking the change back, does not."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from config import Settings
from models.engine import Databases
from tests.e2e.conftest import PHONE, OpenAs, sign_in
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, join_team, make_patient
from tests.web.live_server import LiveServer


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Benedita Com Endereço", responsible_id=cast.doctor.id)
    join_team(databases, made, cast.doctor.id)
    return made


class Answers:
    """What the browser asked, and the answer to the next question."""

    def __init__(self, page: Page) -> None:
        self.asked = 0
        self.leaves = False
        page.on("dialog", self._on_dialog)

    def _on_dialog(self, dialog: Dialog) -> None:
        assert dialog.type == "beforeunload"
        self.asked += 1
        if self.leaves:
            dialog.accept()
        else:
            dialog.dismiss()


def test_leaving_a_changed_form_asks_and_a_form_as_it_was_does_not(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", f"/patients/{patient_id}/edit")
    answers = Answers(page)
    name = page.get_by_label("Nome da mãe")
    name.press_sequentially("Ana")
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Pacientes").first.click(no_wait_after=True)
    expect(name).to_have_value("Ana")
    # Another form of the page is not what was written into: sending it leaves the text as well.
    page.get_by_role("searchbox", name="Buscar paciente").press_sequentially("benedita")
    with page.expect_event("dialog"):
        page.keyboard.press("Enter")
    assert answers.asked == 2
    expect(name).to_have_value("Ana")
    # Back to what it was: nothing is lost.
    name.fill("")
    page.get_by_role("link", name="Cancelar").click()
    page.wait_for_url(re.compile(rf"/patients/{patient_id}$"))
    assert answers.asked == 2


def test_sending_asks_nothing_and_what_came_back_wrong_is_unsaved_still(
    open_as: OpenAs, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", f"/patients/{patient_id}/edit")
    answers = Answers(page)
    page.get_by_label("Nome da mãe").press_sequentially("Ana")
    page.get_by_label("CPF").press_sequentially("11111111111")
    page.get_by_role("button", name="Salvar", exact=True).click()
    expect(page.locator("#form-errors")).to_be_focused()
    assert answers.asked == 0
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Cancelar").click(no_wait_after=True)
    page.get_by_label("CPF").fill("")
    page.get_by_role("button", name="Salvar", exact=True).click()
    page.wait_for_url(re.compile(rf"/patients/{patient_id}$"))
    assert answers.asked == 1


def test_a_form_that_htmx_sends_asks_only_before_it_is_sent(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", f"/patients/{patient_id}")
    answers = Answers(page)
    page.get_by_text("Anotar alergia").click()
    page.get_by_label("Substância").press_sequentially("Dipirona")
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Início").click(no_wait_after=True)
    page.get_by_role("button", name="Salvar alergia").click()
    expect(page.locator("#allergies li")).to_contain_text("Dipirona")
    page.get_by_role("link", name="Início").click()
    page.wait_for_url(re.compile("/$"))
    assert answers.asked == 1


def test_choices_count_as_text_does(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("reception", f"/visits/new/{patient_id}")
    answers = Answers(page)
    priority = page.get_by_label("Prioridade")
    normal = priority.input_value()
    priority.focus()
    page.keyboard.press("Home")
    expect(priority).not_to_have_value(normal)
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Início").click(no_wait_after=True)
    priority.select_option(normal)
    page.get_by_role("link", name="Início").click()
    page.wait_for_url(re.compile("/$"))
    assert answers.asked == 1


@pytest.mark.parametrize("path", ["/visits/new/{patient_id}", "/patients/{patient_id}/edit"])
def test_a_refused_form_keeps_its_text_and_is_sent_again(
    open_as: OpenAs, site: LiveServer, databases: Databases, cast: Cast, patient_id: uuid.UUID, path: str
) -> None:
    """Signing in anew, in another tab, makes the tokens of this one's forms old."""
    page = open_as("doctor", path.format(patient_id=patient_id))
    field = page.get_by_label("Motivo da vinda" if "visits" in path else "Nome da mãe")
    field.press_sequentially("Dor de cabeça")
    sign_in(page.context, site, open_session(databases, cast.doctor))
    save = page.locator("main button[type=submit]").last
    with page.expect_response("**/live/form-token"):
        save.click()
    expect(page.locator("#problems")).to_contain_text("Aperte o botão de novo")
    expect(field).to_have_value("Dor de cabeça")
    save.click()
    page.wait_for_url(re.compile(rf"/(patients/{patient_id})?$"))


def test_what_came_back_wrong_takes_the_place_of_the_page_and_can_be_sent_without_a_script(
    open_as: OpenAs, patient_id: uuid.UUID
) -> None:
    for scripted in (True, False):
        page = open_as("doctor", f"/patients/{patient_id}/edit", java_script_enabled=scripted)
        page.get_by_label("CPF").fill("11111111111")
        page.get_by_role("button", name="Salvar", exact=True).click()
        expect(page.locator("#form-errors")).to_contain_text("CPF")
        expect(page.get_by_label("CPF")).to_have_value("11111111111")
        assert page.locator("main").count() == 1
        assert page.title().startswith("Corrigir a identificação")


def test_a_message_that_comes_while_a_button_is_pressed_does_not_push_it_away(
    open_as: OpenAs, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", f"/patients/{patient_id}/edit")
    page.get_by_label("CPF").fill("11111111111")
    page.get_by_role("button", name="Salvar", exact=True).hover()
    with page.expect_response("**/patients/check"):
        page.mouse.down()
    page.wait_for_timeout(300)  # as long as a person presses
    page.mouse.up()
    expect(page.locator("#form-errors")).to_contain_text("CPF")


def test_a_refusal_is_said_in_the_dialog_that_hides_the_page(
    open_as: OpenAs, site: LiveServer, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", f"/patients/{patient_id}")
    page.get_by_role("link", name="Inativar este paciente").click()
    dialog = page.locator("dialog[open]")
    reason = dialog.get_by_label("Motivo")
    reason.fill("Cadastro em duplicidade")
    sign_in(page.context, site, open_session(databases, cast.doctor))
    with page.expect_response("**/live/form-token"):
        dialog.get_by_role("button", name="Inativar", exact=True).click()
    expect(dialog.get_by_text("Aperte o botão de novo")).to_be_in_viewport()
    expect(reason).to_have_value("Cadastro em duplicidade")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator(".states > #problems")).to_contain_text("Aperte o botão de novo")


def test_far_down_a_phones_page_a_refusal_is_seen(
    open_as: OpenAs, site: LiveServer, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", f"/patients/{patient_id}/edit", viewport=PHONE)
    page.get_by_label("Nome da mãe").fill("Ana")
    sign_in(page.context, site, open_session(databases, cast.doctor))
    page.get_by_role("button", name="Salvar", exact=True).click()
    expect(page.get_by_text("Aperte o botão de novo")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Salvar", exact=True)).to_be_in_viewport()


@pytest.mark.parametrize("answer", ["a page of somebody on the way", "nothing"])
def test_what_is_no_answer_of_ours_takes_nobodys_text(open_as: OpenAs, patient_id: uuid.UUID, answer: str) -> None:
    """As from a proxy while the server behind it restarts, or a line that is cut."""
    page = open_as("doctor", f"/patients/{patient_id}/edit")
    mother = page.get_by_label("Nome da mãe")
    mother.fill("Ana")
    address = f"**/patients/{patient_id}/edit"
    away = "<title>503</title><h1>Service Temporarily Unavailable</h1>"

    def answer_instead(route: Route) -> None:
        if answer == "nothing":
            route.abort("internetdisconnected")
        else:
            route.fulfill(status=503, content_type="text/html", body=away)

    page.route(address, answer_instead)
    page.get_by_role("button", name="Salvar", exact=True).click()
    expect(page.locator("#offline")).to_be_visible()
    expect(mother).to_have_value("Ana")
    assert page.title().startswith("Corrigir a identificação")
    page.unroute(address)
    page.get_by_role("button", name="Salvar", exact=True).click()
    page.wait_for_url(re.compile(rf"/patients/{patient_id}$"))


def test_two_presses_send_once(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    page = open_as("reception", f"/visits/new/{patient_id}")
    page.get_by_label("Motivo da vinda").fill("Febre")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Registrar chegada").dblclick()
    page.wait_for_url(re.compile("/$"))
    assert sent == [f"{page.url}visits/new/{patient_id}"]
