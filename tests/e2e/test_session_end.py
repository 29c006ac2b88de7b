"""The end of a session on an open page: warned of, put off, and not a word of the record on the screen after it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, text

from config import Principal, Settings
from models import Draft, Role
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.e2e.conftest import OpenAs, sign_in
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person
from tests.web.live_server import LiveServer

ABOUT_TWO_MINUTES = re.compile(r"termina em\s+(2:00|1:\d\d)")
DRAFT_SAVED = re.compile(r"Rascunho salvo às \d\d:\d\d")
OpenAt = Callable[..., Page]


@pytest.fixture
def doctor(databases: Databases) -> Person:
    """Whose sessions are this test's alone to grow old."""
    return make_person(databases, Role.DOCTOR, "Noêmia Plantonista")


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, doctor: Person) -> uuid.UUID:
    made = make_patient(databases, settings, "Raimundo Que Espera")
    join_team(databases, made, doctor.id)
    return made


@pytest.fixture
def portal(databases: Databases, settings: Settings, doctor: Person, patient_id: uuid.UUID) -> Person:
    """The patient, who can sign in and has a record to read."""
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, {"title": "Hanseníase indeterminada"})
        create_record(session, doctor.actor, field_cipher(settings), new)
    return make_person(databases, Role.PATIENT, "Raimundo Que Espera", patient_id=patient_id)


@pytest.fixture
def open_at(open_as: OpenAs) -> OpenAt:
    """``open_as``, with a clock that the test turns."""

    def open_page(who: Person, path: str) -> Page:
        page = open_as(who, "/password")
        page.clock.install()
        page.goto(path)
        return page

    return open_page


def age(databases: Databases, person: Person, column: str, seconds: int) -> None:
    """Let the server's time pass for ``person``'s sessions."""
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text(f"UPDATE sessions SET {column} = {column} - make_interval(secs => :by) WHERE user_id = :who"),
            {"by": seconds, "who": person.id},
        )


def test_a_page_without_live_parts_warns_is_put_off_and_hides_at_the_end(
    open_at: OpenAt, databases: Databases, portal: Person
) -> None:
    page = open_at(portal, "/me")
    assert page.locator("[hx-trigger*='sigilo:changed']").count() == 0, "nothing asks the server by itself"
    expect(page.locator("main")).to_contain_text("Hanseníase indeterminada")
    warning = page.locator("#session-ending")
    page.clock.fast_forward("12:50")
    expect(warning).to_be_hidden()
    page.clock.fast_forward("00:15")
    expect(warning).to_contain_text(ABOUT_TWO_MINUTES)
    expect(warning).to_contain_text("nada foi feito aqui")
    expect(warning.get_by_text("salvo como rascunho")).to_be_hidden()
    page.locator("main a").first.focus()
    warning.get_by_role("button", name="Continuar trabalhando").focus()
    page.keyboard.press("Enter")
    expect(warning).to_be_hidden()
    expect(page.locator("main a").first).to_be_focused()
    page.clock.fast_forward("13:05")
    expect(warning).to_contain_text(ABOUT_TWO_MINUTES)

    age(databases, portal, "last_seen_at", 15 * 60 + 1)
    page.clock.fast_forward("02:00")
    ended = page.locator("#session-ended")
    expect(ended).to_contain_text("Sua sessão terminou")
    expect(warning).to_be_hidden()
    assert "Hanseníase" not in page.content()
    expect(ended.get_by_role("link", name="Entrar de novo")).to_be_focused()
    expect(ended.get_by_role("link", name="Entrar de novo")).to_have_attribute("href", "/login?next=/me")


def test_the_absolute_end_is_said_and_staying_is_not_offered(
    open_at: OpenAt, databases: Databases, portal: Person
) -> None:
    page = open_at(portal, "/me")
    warning = page.locator("#session-ending")
    expect(page.locator("main")).to_contain_text("Hanseníase indeterminada")
    age(databases, portal, "expires_at", 12 * 3600 - 180)
    page.reload()
    expect(warning).to_be_hidden()
    page.clock.fast_forward("01:15")
    expect(warning).to_contain_text(re.compile(r"termina em\s+1:\d\d"))
    expect(warning).to_contain_text("durou o máximo")
    expect(warning.get_by_role("button", name="Continuar trabalhando")).to_be_hidden()
    # A request of the reader's is a sign of life, and changes nothing about this end.
    assert page.evaluate("fetch('/live/stay').then(answer => answer.status)") == 204
    page.reload()
    page.clock.fast_forward("02:40")
    expect(warning).to_contain_text(re.compile(r"termina em\s+0:\d\d"))
    age(databases, portal, "expires_at", 180)
    page.clock.fast_forward("00:30")
    expect(page.locator("#session-ended")).to_be_visible()
    assert "Hanseníase" not in page.content()


def test_a_wrong_clock_at_the_desk_ends_nothing(open_at: OpenAt, portal: Person) -> None:
    page = open_at(portal, "/me")
    with page.expect_response("**/live") as asked:
        page.clock.fast_forward("03:00:00")
    assert asked.value.request.headers["sigilo-background"] == "1"
    page.clock.run_for(2000)
    expect(page.locator("#session-ended")).to_be_hidden()
    expect(page.locator("main")).to_contain_text("Hanseníase indeterminada")


def test_a_form_keeps_its_text_and_its_draft_is_saved_before_the_end(
    open_at: OpenAt, site: LiveServer, databases: Databases, doctor: Person, patient_id: uuid.UUID
) -> None:
    page = open_at(doctor, f"/medical-records/new?patientId={patient_id}")
    # So that nothing saves by and by, but what the warning does.
    page.evaluate("((at) => { window.setTimeout = (act, ms, ...more) => ms ? 0 : at(act, ms, ...more); })(setTimeout)")
    page.get_by_label("Título").press_sequentially("Escrito até o fim")
    age(databases, doctor, "last_seen_at", 13 * 60 + 5)
    with page.expect_response("**/drafts") as saved:
        page.clock.fast_forward("13:05")
    expect(page.locator("#session-ending").get_by_text("salvo como rascunho")).to_be_visible()
    page.locator("footer.foot").scroll_into_view_if_needed()
    expect(page.get_by_role("button", name="Continuar trabalhando")).to_be_in_viewport()
    assert saved.value.status == 200
    assert saved.value.request.headers["sigilo-background"] == "1", "the warning is no sign of life"
    expect(page.locator("#draft-state")).to_contain_text(DRAFT_SAVED)
    with databases.session(Principal.STAFF) as session:
        assert len(session.scalars(select(Draft).where(Draft.patient_id == patient_id)).all()) == 1

    age(databases, doctor, "last_seen_at", 120)
    page.clock.fast_forward("02:00")
    ended = page.locator("#session-ended")
    expect(ended).to_be_visible()
    expect(page.get_by_label("Título")).to_have_value("Escrito até o fim")
    expect(page.locator("#chosen-patient")).to_be_hidden()
    expect(page.locator("#patientId")).to_be_hidden()  # the names of others
    expect(ended.get_by_role("link", name="Entrar de novo")).to_have_attribute("target", "_blank")

    # Signed in again in another tab, the page goes on by itself and saves.
    sign_in(page.context, site, open_session(databases, doctor))
    other = page.context.new_page()
    other.goto("/password")
    expect(ended).to_be_hidden()
    expect(page.locator("#chosen-patient")).to_be_visible()
    page.get_by_role("button", name="Salvar registro").click()
    page.wait_for_url(re.compile(r"/medical-records/[0-9a-f-]{36}"))


def test_a_form_without_drafts_waits_for_its_own_person(
    open_at: OpenAt, site: LiveServer, databases: Databases, cast: Cast, doctor: Person, patient_id: uuid.UUID
) -> None:
    page = open_at(doctor, f"/patients/{patient_id}/edit")
    phone, save = page.get_by_label("Telefone"), page.locator("main form[data-warns] button[type=submit]").first
    phone.fill("11 5555-0909")
    age(databases, doctor, "last_seen_at", 15 * 60 + 1)
    page.clock.fast_forward("15:05")
    ended = page.locator("#session-ended")
    expect(ended).to_be_visible()

    # Somebody else signs in in this browser: nothing is sent in their name, and their own page stays what it is.
    sign_in(page.context, site, open_session(databases, cast.doctor))
    other = page.context.new_page()
    other.goto("/patients")
    with page.expect_response("**/live/form-token"):
        save.click()
    expect(ended.get_by_role("link", name="Entrar de novo")).to_be_focused()
    expect(phone).to_have_value("11 5555-0909")
    expect(other.get_by_role("heading", level=1)).to_be_visible()

    sign_in(page.context, site, open_session(databases, doctor))
    save.click()
    page.wait_for_url(re.compile(rf"/patients/{patient_id}($|\?)"))
    expect(page.locator("main")).to_contain_text("11 5555-0909")


def test_a_page_of_one_person_shows_nothing_more_once_somebody_else_is_signed_in(
    open_as: OpenAs, site: LiveServer, databases: Databases, cast: Cast, doctor: Person, patient_id: uuid.UUID
) -> None:
    page = open_as(doctor, f"/patients/{patient_id}")
    expect(page.locator("main")).to_contain_text("Raimundo Que Espera")
    sign_in(page.context, site, open_session(databases, cast.nurse))
    other = page.context.new_page()
    other.goto("/patients")
    expect(page.locator("#session-ended")).to_be_visible()
    assert "Raimundo" not in page.locator("main").inner_html()
    expect(other.get_by_role("heading", level=1)).to_be_visible()
