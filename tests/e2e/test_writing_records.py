"""Writing a record in the browser: the naive way, by keyboard, with two people at it, and with everything failing."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select, update

from config import Principal, Settings
from models import CareTeamMember, Draft, MedicalRecord
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.e2e.conftest import PLENTY, OpenAs, listen, sign_in
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, join_team, make_patient
from tests.web.conftest import Login
from tests.web.live_server import LiveServer, live_server

NEW = "/medical-records/new"
SAVED = re.compile(r"/medical-records/([0-9a-f]{8}-[0-9a-f-]{27})($|\?)")
# What Chromium says of a server that is away.
AWAY = ("net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "net::ERR_EMPTY_RESPONSE")
DRAFT_SAVED = re.compile(r"Rascunho salvo às \d\d:\d\d")


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient of both doctors'."""
    made = make_patient(databases, settings, "Larissa Gomes Teixeira")
    join_team(databases, made, cast.doctor.id)
    join_team(databases, made, cast.doctor2.id)
    return made


@pytest.fixture
def record_id(databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID) -> uuid.UUID:
    content = {"title": "Retorno", "treatment": "Losartana 50 mg uma vez ao dia.", "notes": "PA 160 × 100."}
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, content)
        return create_record(session, cast.doctor.actor, field_cipher(settings), new).record.id


def record_of(databases: Databases, record_id: uuid.UUID) -> MedicalRecord:
    with databases.session(Principal.STAFF) as session:
        return session.get_one(MedicalRecord, record_id)


def arrived(page: Page) -> uuid.UUID:
    page.wait_for_url(SAVED)
    found = SAVED.search(page.url)
    assert found is not None
    return uuid.UUID(found[1])


def test_a_naive_script_creates_a_record(open_as: OpenAs, databases: Databases, patient_id: uuid.UUID) -> None:
    page = open_as("doctor", NEW)
    page.select_option('[name="patientId"]', str(patient_id))
    page.fill('[name="title"]', "Dor de cabeça")
    page.click('button[type="submit"]')
    record = record_of(databases, arrived(page))
    assert (record.patient_id, record.title) == (patient_id, "Dor de cabeça")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_the_keyboard_finds_a_patient_and_fields_are_checked_when_left(
    open_as: OpenAs, databases: Databases, cast: Cast
) -> None:
    page = open_as("doctor", NEW)
    search = page.get_by_role("combobox", name="Outro paciente…")
    search.press_sequentially("joão estr")
    option = page.get_by_role("option", name="João Estranho da Silva").first
    expect(option).to_be_visible()
    page.keyboard.press("Escape")
    expect(option).to_be_hidden()
    page.keyboard.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#patientId")).to_have_value(re.compile("."))
    expect(page.locator("#chosen-patient")).to_contain_text("João Estranho da Silva")
    expect(page.get_by_label("Título")).to_be_focused()
    page.keyboard.type("Consulta")
    codes = page.get_by_label("CID-10")
    codes.fill("gripe")
    codes.press("Tab")
    expect(page.locator("#cid10Codes-error")).to_contain_text("I10 ou E11.9")
    page.get_by_role("button", name="Salvar registro").click()
    expect(page.locator("#form-errors")).to_be_focused()
    expect(page.locator("#form-errors")).to_contain_text("CID-10: Um código CID-10")
    expect(page.get_by_label("Título")).to_have_value("Consulta")
    codes.fill("J11")
    codes.press("Tab")
    expect(page.locator("#cid10Codes-error")).to_be_empty()
    page.get_by_label("Título").press("Enter")
    assert record_of(databases, arrived(page)).cid10_codes == ["J11"]


def test_two_people_edit_one_record(open_as: OpenAs, databases: Databases, record_id: uuid.UUID) -> None:
    path = f"/medical-records/{record_id}/edit"
    mine, theirs = open_as("doctor", path), open_as("doctor2", path)
    theirs.get_by_label("Conduta").fill("Losartana 50 mg de 12 em 12 horas.")
    theirs.get_by_label("Prioridade").select_option("HIGH")
    theirs.click('button[type="submit"]')
    arrived(theirs)
    mine.get_by_label("Conduta").fill("Losartana 100 mg uma vez ao dia.")
    mine.get_by_label("Anotações").fill("PA 160 × 100. Nega cefaleia.")
    mine.click('button[type="submit"]')
    expect(mine.get_by_role("heading", level=1)).to_contain_text("Outra pessoa salvou este registro")
    save = mine.locator("[data-save]")
    expect(save).to_have_attribute("aria-disabled", "true")
    expect(save).to_contain_text("Conduta")
    expect(mine.locator("input[type=radio]:checked")).to_have_count(0)
    save.click(force=True)  # a person can press it; what it says is that it will not save yet
    expect(mine.locator("input[type=radio]").first).to_be_focused()
    mine.get_by_label("Conduta em outras palavras").fill("Losartana 50 mg de manhã e 100 mg à noite.")
    expect(mine.get_by_label("Em outras palavras", exact=True)).to_be_checked()
    mine.get_by_role("button", name="Salvar o registro unificado", exact=True).click()
    record = record_of(databases, arrived(mine))
    assert (record.treatment, record.notes) == (
        "Losartana 50 mg de manhã e 100 mg à noite.", "PA 160 × 100. Nega cefaleia."
    )  # fmt: skip
    assert (record.priority, record.version) == ("HIGH", 3)


def test_a_draft_is_found_on_another_device_until_access_ends(
    open_as: OpenAs, databases: Databases, cast: Cast, record_id: uuid.UUID, patient_id: uuid.UUID
) -> None:
    path = f"/medical-records/{record_id}/edit"
    page = open_as("doctor2", path)
    page.get_by_label("Anotações").fill("PA 160 × 100. Oriento caminhada.")
    expect(page.locator("#draft-state")).to_contain_text(DRAFT_SAVED)
    page.context.close()
    other = open_as("doctor2", path)
    expect(other.locator("[data-offer]")).to_contain_text("Você tem um rascunho")
    other.get_by_role("link", name="Continuar o rascunho").click()
    expect(other.get_by_label("Anotações")).to_have_value("PA 160 × 100. Oriento caminhada.")
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(CareTeamMember)
            .where(CareTeamMember.patient_id == patient_id, CareTeamMember.user_id == cast.doctor2.id)
            .values(removed_at=datetime.now(UTC))
        )
    later = open_as("doctor2", "/drafts")
    later.get_by_role("link", name="Larissa Gomes Teixeira", exact=True).click()
    expect(later.locator("main")).to_contain_text("Oriento caminhada.")
    assert "PA 160" not in later.content()


def test_a_draft_on_its_way_arrives_before_the_record_and_goes_with_it(
    open_as: OpenAs, databases: Databases, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", f"{NEW}?patientId={patient_id}")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/drafts", hold)
    with page.expect_request("**/drafts"):
        page.get_by_label("Título").fill("Escrito depressa")
        page.get_by_label("Título").press("Tab")
    moments: list[str] = []
    page.on("requestfinished", lambda request: moments.append(f"done {urlsplit(request.url).path}"))
    page.on("request", lambda request: moments.append(f"{request.method} {urlsplit(request.url).path}"))
    page.get_by_role("button", name="Salvar registro").click()
    held[0].continue_()
    record = arrived(page)
    assert moments.index("done /drafts") < moments.index(f"POST {NEW}")
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(MedicalRecord, record).title == "Escrito depressa"
        assert session.scalars(select(Draft).where(Draft.patient_id == patient_id)).all() == []


def test_security_04_a_draft_sent_once_more_is_no_sign_of_life(open_as: OpenAs, patient_id: uuid.UUID) -> None:
    """The server is busy twice: what the person wrote is one sign of life, and what the page repeats is none."""
    page = open_as("doctor", f"{NEW}?patientId={patient_id}")
    signs: list[bool] = []

    def answer(route: Route) -> None:
        signs.append(route.request.headers.get("sigilo-background") != "1")
        if len(signs) in (1, 2, 4):
            route.fulfill(status=(503, 429)[len(signs) % 2], headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/drafts", answer)
    page.get_by_label("Título").fill("Escrito uma vez")
    expect(page.locator("[data-says=unreachable]")).to_be_visible()
    expect(page.locator("#draft-state")).to_contain_text(DRAFT_SAVED, timeout=15_000)
    assert signs == [True, False, False]
    page.get_by_label("Título").fill("Escrito outra vez")
    expect(page.locator("[data-says=unreachable]")).to_be_visible()
    expect(page.locator("[data-says=unreachable]")).to_be_hidden(timeout=15_000)
    assert signs == [True, False, False, True, False]


def test_a_draft_that_is_refused_is_sent_again_with_the_next_letter_and_not_before(
    open_as: OpenAs, patient_id: uuid.UUID
) -> None:
    page = open_as("doctor", "/password")
    page.clock.install()
    page.goto(f"{NEW}?patientId={patient_id}")
    sent: list[str] = []

    def refuse(route: Route) -> None:
        sent.append(route.request.method)
        route.fulfill(status=422, body="")

    page.route("**/drafts", refuse)
    title = page.get_by_label("Título")
    with page.expect_request("**/drafts"):
        title.press_sequentially("Recusado")
        page.clock.run_for(2_500)
    expect(page.locator("[data-says=refused]")).to_be_visible()
    page.clock.run_for(60_000)
    assert len(sent) == 1
    with page.expect_request("**/drafts"):
        title.press_sequentially("!")
        page.clock.run_for(2_500)


@pytest.fixture
def tab(chromium: Chromium, site: LiveServer) -> Iterator[Page]:
    """A tab of nobody's yet. It, and those it opens, are listened to like any other."""
    complaints: list[str] = []
    context = chromium.new_context(locale="pt-BR", base_url=site.url)
    context.on("page", lambda page: listen(page, complaints))
    yield context.new_page()
    context.close()
    assert complaints == []


def log_in(page: Page, login: Login) -> None:
    page.goto("/login")
    page.fill("[name=email]", login.email)
    page.fill("[name=password]", login.password)
    page.click("main button[type=submit]")
    page.wait_for_url("**/")


def test_a_session_lost_while_writing_costs_nothing(
    tab: Page, site: LiveServer, databases: Databases, cast: Cast, make_login: Callable[..., Login]
) -> None:
    login = make_login("DOCTOR")
    log_in(tab, login)
    tab.goto(f"{NEW}?patientId={cast.patient_id}")
    tab.get_by_label("Título").fill("Escrito antes")
    tab.context.add_cookies([{"name": "sigilo", "value": "ended", "url": site.url}])
    tab.get_by_label("Anotações").fill("escrito depois")
    tab.click('button[type="submit"]')
    expect(tab.locator("[data-says=signed-out]")).to_contain_text("O seu texto continua aqui")
    with tab.context.expect_page() as opened:
        tab.get_by_role("link", name="Entrar em outra aba").click()
    log_in(opened.value, login)
    tab.click('button[type="submit"]')
    record = record_of(databases, arrived(tab))
    assert (record.title, record.notes) == ("Escrito antes", "escrito depois")


def test_somebody_else_who_signs_in_gets_no_text_that_is_not_theirs(
    tab: Page, site: LiveServer, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    sign_in(tab.context, site, open_session(databases, cast.doctor))
    tab.goto(f"{NEW}?patientId={patient_id}")
    tab.get_by_label("Título").fill("Da Ana")
    expect(tab.locator("#draft-state")).to_contain_text(DRAFT_SAVED)
    sign_in(tab.context, site, open_session(databases, cast.doctor2))
    tab.click('button[type="submit"]')
    expect(tab.locator("[data-says=somebody-else]")).to_be_visible()
    expect(tab.get_by_label("Título")).to_have_value("Da Ana")
    sign_in(tab.context, site, open_session(databases, cast.doctor))
    tab.click('button[type="submit"]')
    assert record_of(databases, arrived(tab)).author_id == cast.doctor.id


def test_a_server_killed_in_mid_sentence_loses_nothing(
    chromium: Chromium, settings: Settings, databases: Databases, cast: Cast, home: Path, patient_id: uuid.UUID
) -> None:
    complaints: list[str] = []
    with live_server(settings, home, RATE_LIMIT_LIVE=PLENTY) as server:
        context = chromium.new_context(locale="pt-BR", base_url=server.url)
        context.on("page", lambda page: listen(page, complaints, allowed=AWAY))
        sign_in(context, server, open_session(databases, cast.doctor))
        page = context.new_page()
        page.goto(f"{NEW}?patientId={patient_id}")
        page.get_by_label("Título").fill("Falta de ar há dois")
        expect(page.locator("#draft-state")).to_contain_text(DRAFT_SAVED)
        kill_all_of(server)
        page.get_by_label("Título").press_sequentially(" dias")
        expect(page.locator("[data-says=unreachable]")).to_be_visible()
    with live_server(settings, home, port=server.port, RATE_LIMIT_LIVE=PLENTY) as again:
        expect(page.locator("[data-says=unreachable]")).to_be_hidden(timeout=15_000)
        # Another device, as after a crash of this one, has the whole sentence …
        other = chromium.new_context(locale="pt-BR", base_url=again.url)
        other.on("page", lambda page: listen(page, complaints))
        sign_in(other, again, open_session(databases, cast.doctor))
        device = other.new_page()
        device.goto(f"{NEW}?patientId={patient_id}")
        device.get_by_role("link", name="Continuar o rascunho").click()
        expect(device.get_by_label("Título")).to_have_value("Falta de ar há dois dias")
        other.close()
        # … and the page that was open saves it.
        page.click('button[type="submit"]')
        assert record_of(databases, arrived(page)).title == "Falta de ar há dois dias"
        context.close()
    assert complaints == []


def kill_all_of(server: LiveServer) -> None:
    """As the kernel does when memory runs out: the server and its workers, at once and without a word."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    for pid in (server.process.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
