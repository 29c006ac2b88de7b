"""The main job without a mouse: call a patient in, write a record, end the visit. And motion for who wants it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, update

from config import Principal, Settings
from models import MedicalRecord, Visit
from models.engine import Databases
from services.field_encryption import field_cipher
from services.visit_close import close_visit
from services.visit_create import NewVisit, create_visit
from tests.e2e.conftest import OpenAs
from tests.factories.cast import Cast, make_patient

NAME = "Quitéria do Teclado"
# What a person hears of the focused element first, near enough to know when to stop; Playwright computes it in full.
HEARD = """() => {
  const at = document.activeElement;
  const label = at.labels && at.labels.length ? at.labels[0].textContent : "";
  return (at.getAttribute("aria-label") || label || at.textContent || "").trim();
}"""
OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement);
  return [style.outlineStyle, parseFloat(style.outlineWidth)];
}"""
# Elements whose animation or transition lasts longer than a person can see.
MOVING = """() => [...document.querySelectorAll("*")].flatMap((element) =>
  ["", "::before", "::after"].filter((part) => {
    const style = getComputedStyle(element, part || null);
    const seconds = (list) => list.split(",").map(parseFloat);
    const moves = style.animationName !== "none" ? seconds(style.animationDuration) : [];
    return [...moves, ...seconds(style.transitionDuration)].some((each) => each > 0.01);
  }).map((part) => element.localName + "." + element.className + part))"""


@pytest.fixture
def visit_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """One person waits, and nobody else."""
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(Visit).where(Visit.status.in_(["WAITING", "IN_CARE"])).values(
                status="DONE", closed_at=datetime.now(UTC)
            )
        )  # fmt: skip
    patient_id = make_patient(databases, settings, NAME)
    with databases.session(Principal.STAFF) as session:
        new = NewVisit(patient_id, "Tosse há três dias", "NORMAL")
        return create_visit(session, cast.reception.actor, field_cipher(settings), new)[0].id


def has_focus(page: Page, name: str | re.Pattern[str]) -> None:
    """The focused element is called ``name``, and shows that it has the focus."""
    expect(page.locator(":focus")).to_have_accessible_name(name)
    style, width = page.evaluate(OUTLINE)
    assert style != "none" and width >= 2, f"{name}: {style} {width}"


def tab_to(page: Page, name: str, *, at_most: int, key: str = "Tab") -> None:
    """Press ``key`` until ``name`` has the focus, after ``at_most`` fields. Every stop on the way can be seen.

    A date has a stop for each of its parts, which Chromium's language counts: together they are one field.
    """
    passed: list[str] = []
    while len(passed) <= at_most:
        page.keyboard.press(key)
        heard = page.evaluate(HEARD)
        style, width = page.evaluate(OUTLINE)
        assert style != "none" and width >= 2, f"{heard}: {style} {width}"
        if not passed or heard != passed[-1]:
            passed.append(heard)
        if len(passed) <= at_most and heard.startswith(name):
            has_focus(page, re.compile("^" + re.escape(name)))
            return
    pytest.fail(f"{name} is further than {at_most} stops away: {passed}")


def skip_to_content(page: Page) -> None:
    page.keyboard.press("Tab")
    has_focus(page, "Ir para o conteúdo")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_visit_from_call_to_end_by_keyboard_alone(
    open_as: OpenAs, databases: Databases, cast: Cast, visit_id: uuid.UUID
) -> None:
    page = open_as("doctor")
    page.on("dialog", lambda dialog: dialog.accept())  # as Enter does

    # Call them in: their record opens.
    skip_to_content(page)
    tab_to(page, f"Chamar {NAME}", at_most=8)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/medical-records/[0-9a-f-]{36}/edit"))

    has_focus(page, re.compile("^Título"))

    # Another record, for the same person.
    tab_to(page, "Início", at_most=20, key="Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/$"))
    page.keyboard.press("n")
    page.wait_for_url(re.compile("/medical-records/new$"))
    skip_to_content(page)
    tab_to(page, "Paciente", at_most=2)
    page.keyboard.type("Quitéria")  # who is in care stands in the list
    expect(page.locator("#chosen-patient")).to_contain_text(NAME)
    has_focus(page, re.compile("^Paciente"))
    tab_to(page, "Título", at_most=6)
    page.keyboard.type("Tosse seca")
    tab_to(page, "Anotações", at_most=9)
    page.keyboard.type("Ausculta limpa.")
    tab_to(page, "Salvar registro", at_most=4)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/medical-records/[0-9a-f-]{36}(\?.*)?$"))
    with databases.session(Principal.STAFF) as session:
        visit = session.get_one(Visit, visit_id)
        records = session.scalars(select(MedicalRecord).where(MedicalRecord.patient_id == visit.patient_id)).all()
        assert sorted((record.title, record.notes) for record in records) == [
            ("Tosse há três dias", None), ("Tosse seca", "Ausculta limpa."),
        ]  # fmt: skip

    # End the visit: the page that follows says so.
    page.keyboard.press("Tab")
    has_focus(page, "Ir para o conteúdo")
    tab_to(page, "Início", at_most=2)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/$"))
    skip_to_content(page)
    tab_to(page, f"Encerrar: {NAME}", at_most=10)
    page.keyboard.press("Enter")
    expect(page.locator(f"#visit-{visit_id}")).to_have_count(0)
    expect(page.locator("#toasts")).to_contain_text("Atendimento encerrado")
    skip_to_content(page)
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(Visit, visit_id).status == "DONE"


def test_a_row_that_goes_leaves_the_focus_in_its_list(
    open_as: OpenAs, databases: Databases, settings: Settings, cast: Cast, visit_id: uuid.UUID
) -> None:
    page = open_as("doctor")
    skip_to_content(page)
    tab_to(page, f"Chamar {NAME}", at_most=8)
    with databases.session(Principal.STAFF) as session:
        close_visit(session, cast.reception.actor, field_cipher(settings), visit_id, status="LEFT")
    expect(page.locator(f"#visit-{visit_id}")).to_have_count(0)
    has_focus(page, "Aguardando")
    tab_to(page, "Todos", at_most=1)


def test_nothing_moves_for_who_asked_for_stillness(open_as: OpenAs, visit_id: uuid.UUID) -> None:
    lively = open_as("doctor", "/", reduced_motion="no-preference")
    assert "li.arrive" in lively.evaluate(MOVING)
    still = open_as("doctor", "/", reduced_motion="reduce")
    for path in ("/", "/medical-records/new"):
        still.goto(path)
        assert still.evaluate(MOVING) == []
