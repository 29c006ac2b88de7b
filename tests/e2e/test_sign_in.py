"""Signing in and out, languages, and the description of the API, as somebody sees them who is not signed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PHONE, listen
from tests.web.conftest import Login
from tests.web.live_server import LiveServer


@pytest.fixture
def page(chromium: Chromium, site: LiveServer) -> Iterator[Page]:
    """A tab that speaks Portuguese. Whatever the policy refuses, or a script throws, fails the test."""
    context = chromium.new_context(locale="pt-BR", base_url=site.url)
    made, complaints = context.new_page(), list[str]()
    listen(made, complaints)
    yield made
    context.close()
    assert complaints == []


def sign_in(page: Page, login: Login) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile("/login$"))
    page.fill("input[name=email]", login.email)
    page.fill("input[name=password]", login.password)
    page.click("main button[type=submit]")


def test_signing_in_and_out(page: Page, make_login: Callable[..., Login]) -> None:
    login = make_login()
    sign_in(page, Login(login.email, "a wrong password"))
    expect(page.get_by_role("alert")).to_contain_text("E-mail ou senha incorretos")
    expect(page.locator("input[name=email]")).to_have_value(login.email)
    expect(page.locator("input[name=password]")).to_have_value("")
    page.fill("input[name=password]", login.password)
    page.click("main button[type=submit]")
    expect(page.locator("h1")).to_have_text(re.compile("^Bo[am] (dia|tarde|noite), Ana$"))
    assert page.evaluate("document.cookie") == "", "scripts can't read the cookie"
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    page.get_by_role("button", name="Sair").click()
    expect(page.locator("h1")).to_have_text("Entrar")
    page.go_back()
    page.reload()
    expect(page.locator("h1")).to_have_text("Entrar")


def test_choosing_a_role(page: Page, make_login: Callable[..., Login]) -> None:
    sign_in(page, make_login("DOCTOR", "ADMIN"))
    page.get_by_label("Administração").check()
    page.get_by_role("button", name="Continuar").click()
    expect(page.locator(".who")).to_contain_text("Administração")


def test_english_is_one_click_away(page: Page) -> None:
    page.goto("/login")
    expect(page.locator("h1")).to_have_text("Entrar")
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Sign in")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_the_description_of_the_api_is_readable(page: Page) -> None:
    page.goto("/api/docs#medical_records_create")
    opened = page.locator("#medical_records_create")
    expect(opened).to_have_attribute("open", "")
    expect(opened).to_contain_text("patientId")
    expect(opened).to_contain_text("records:write")
    expect(opened).to_contain_text("Idempotency-Key")


@pytest.mark.parametrize("path", ["/login", "/api/docs", "/nothing-here"])
def test_a_phone_shows_everything_without_scrolling_sideways(path: str, page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(path)
    expect(page.locator("h1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(page.get_by_text("Sigilo 1.0.0")).to_be_visible()


def test_a_phone_can_sign_out(page: Page, make_login: Callable[..., Login]) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    sign_in(page, make_login())
    expect(page.locator(".foot")).to_contain_text("Sigilo 1.0.0")
    page.get_by_role("button", name="Sair").click()
    expect(page.locator("h1")).to_have_text("Entrar")


def test_a_session_that_ended_says_so(page: Page, make_login: Callable[..., Login]) -> None:
    sign_in(page, make_login())
    expect(page.locator("h1")).to_have_text(re.compile("^Bo[am] (dia|tarde|noite), Ana$"))
    page.context.add_cookies([{"name": "sigilo", "value": "ended", "url": page.url}])
    page.goto("/")
    expect(page.locator("h1")).to_have_text("Sua sessão terminou")
    page.get_by_role("link", name="Entrar").click()
    expect(page.locator("h1")).to_have_text("Entrar")
