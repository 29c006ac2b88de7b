"""Changing SECRET_KEY while people work: open pages go on, and end to do so when the former key is taken out."""

from __future__ import annotations

import pytest
from flask import Flask
from pydantic import SecretStr

from config import ConfigurationError, Principal, Settings, load_settings
from models.engine import Databases
from services.login_failures import ACCOUNT_FAILURES, count_attempt
from tests.web.account_rows import MakeLogin
from tests.web.conftest import Browser, MakeApp, csrf_of, new_address

FORMER, NEXT = "a" * 40 + "former", "b" * 40 + "next"


def moved(browser: Browser, app: Flask, *, signed_in: bool = True) -> Browser:
    """The same browser before another process of the installation."""
    other = Browser(app, address=browser.client.environ_base["REMOTE_ADDR"])
    name = "sigilo" if signed_in else "sigilo-visit"
    cookie = browser.client.get_cookie(name, "localhost")
    assert cookie is not None
    other.client.set_cookie(name, cookie.value, domain="localhost")
    return other


def apps(make_own_app: MakeApp) -> tuple[Flask, Flask, Flask]:
    """Processes before, while and after the key changes."""
    before = make_own_app(secret_key=SecretStr(FORMER))
    between = make_own_app(secret_key=SecretStr(NEXT), secret_key_previous=SecretStr(FORMER))
    return before, between, make_own_app(secret_key=SecretStr(NEXT))


def test_a_page_made_under_the_former_key_is_accepted_as_long_as_that_is_named(
    make_own_app: MakeApp, make_login: MakeLogin
) -> None:
    before, between, after = apps(make_own_app)
    browser = Browser(before)
    browser.sign_in(make_login())
    token = csrf_of(browser.get("/"))
    form = {"csrf_token": token, "locale": "en"}
    assert moved(browser, after).client.post("/language", data=form).status_code == 403
    assert moved(browser, after).client.post("/language", headers={"X-CSRFToken": token}).status_code == 403
    assert moved(browser, between).client.post("/language", data=form).status_code == 303
    by_header = moved(browser, between).client.post("/language", data={"locale": "en"}, headers={"X-CSRFToken": token})
    assert by_header.status_code == 303
    assert moved(browser, between).get("/api/me").status_code == 200, "nobody was signed out"

    stranger = Browser(before)
    stranger.sign_in(make_login())
    foreign = csrf_of(stranger.get("/"))
    assert moved(browser, between).client.post("/logout", data={"csrf_token": foreign}).status_code == 403
    assert moved(browser, between).client.post("/logout", data={"csrf_token": token + "x"}).status_code == 403

    anew = csrf_of(moved(browser, between).get("/"))
    assert moved(browser, after).client.post("/logout", data={"csrf_token": anew}).status_code == 303, "signed anew"


def test_processes_that_know_the_next_key_already_take_what_the_others_make(
    make_own_app: MakeApp, make_login: MakeLogin
) -> None:
    waiting = make_own_app(secret_key=SecretStr(FORMER), secret_key_previous=SecretStr(f"{NEXT},{'c' * 40}"))
    browser = Browser(make_own_app(secret_key=SecretStr(NEXT), secret_key_previous=SecretStr(FORMER)))
    browser.sign_in(make_login())
    token = csrf_of(browser.get("/"))
    assert moved(browser, waiting).client.post("/logout", data={"csrf_token": token}).status_code == 303


def test_a_form_of_sign_in_outlives_the_change(make_own_app: MakeApp, make_login: MakeLogin) -> None:
    before, between, after = apps(make_own_app)
    login = make_login()
    browser = Browser(before)
    token = csrf_of(browser.get("/login"))
    form = {"csrf_token": token, "email": login.email, "password": login.password}
    assert moved(browser, after, signed_in=False).client.post("/login", data=form).status_code == 403
    assert moved(browser, between, signed_in=False).client.post("/login", data=form).status_code == 303


def test_security_12_a_lock_outlives_the_change(
    make_own_app: MakeApp, make_login: MakeLogin, databases: Databases, settings: Settings
) -> None:
    _, between, after = apps(make_own_app)
    login = make_login()
    former = settings.model_copy(update={"secret_key": SecretStr(FORMER)})
    with databases.session(Principal.ANONYMOUS) as session:
        for _ in range(ACCOUNT_FAILURES):
            count_attempt(session, former, login.email, None)
    assert Browser(between, new_address()).sign_in(login).status_code == 429
    assert Browser(after, new_address()).sign_in(login).status_code == 303, "only the former key knows"


def test_the_setting_names_each_key_or_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY_PREVIOUS has a key shorter") as refused:
        load_settings(**settings.model_dump() | {"secret_key_previous": f"{FORMER},short-one"})
    assert "short-one" not in str(refused.value) and FORMER not in str(refused.value)
