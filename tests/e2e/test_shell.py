"""What surrounds every page: navigation by role, phone, keyboard, honest states."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import PHONE, OpenAs


@pytest.mark.parametrize("who", ["doctor", "reception", "admin", "auditor", "patient"])
def test_the_navigation_offers_only_what_answers(open_as: OpenAs, who: str) -> None:
    page = open_as(who, "/password")
    places = page.locator(".rail nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert places
    for place in places:
        answer = page.request.get(place)
        assert answer.status == 200, f"{who} {place}: {answer.status}"


def test_a_phone_reaches_every_place(open_as: OpenAs) -> None:
    page = open_as("admin", "/", viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="Mais").click()
    expect(page.get_by_role("dialog").get_by_role("link", name="Sistema")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_keyboard_skips_to_the_content_and_finds_a_patient(open_as: OpenAs) -> None:
    page = open_as("doctor")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Ir para o conteúdo")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Buscar paciente")).to_be_focused()


def test_a_lost_connection_is_said_and_unsaid(open_as: OpenAs) -> None:
    page = open_as("doctor")
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()
