"""What a page says when something is refused, missing or broken: enough to go on, and nothing of anybody."""

from __future__ import annotations

import re
import uuid

import pytest
from flask import Flask

from models.engine import Databases
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.web.conftest import Browser, MakeApp
from web.guards import PUBLIC, Routes

HTMX = {"HX-Request": "true", "HX-Target": "div#list"}
REQUEST_ID = re.compile(r"[0-9a-f]{32}")


def broken() -> str:
    raise RuntimeError("Conceição Ávila, 529.982.247-25")


@pytest.fixture
def failing(make_own_app: MakeApp) -> Flask:
    routes = Routes("failing")
    routes.add("/failing", view=broken, guard=PUBLIC)
    return make_own_app(routes)


@pytest.fixture
def doctor(app: Flask, databases: Databases, cast: Cast) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, cast.doctor), domain="localhost")
    return browser


def test_500_gives_the_request_id_and_nothing_of_what_broke(failing: Flask) -> None:
    for headers in ({}, HTMX):
        answer = Browser(failing).get("/failing", headers=headers)
        page = answer.get_data(as_text=True)
        assert answer.status_code == 500
        assert "Algo deu errado do nosso lado" in page
        assert answer.headers["X-Request-Id"] in page
        assert "Conceição" not in page
        assert "529" not in REQUEST_ID.sub("", page)
        assert ("<html" in page) is (headers == {})
    assert answer.headers["HX-Retarget"] == "#problems"


def test_403_explains_itself(doctor: Browser) -> None:
    for headers in ({}, HTMX):
        answer = doctor.get("/system", headers=headers)
        page = answer.get_data(as_text=True)
        assert answer.status_code == 403
        assert "Você não pode fazer isto" in page
        assert "Seu papel não permite isto" in page
        assert answer.headers["X-Request-Id"] in page


def test_404_says_the_same_of_what_never_was_and_of_what_is_not_yours(
    app: Flask, databases: Databases, cast: Cast
) -> None:
    """A stranger's record, an unknown id and an address that is none differ in nothing but the request's id."""
    stranger = Browser(app)
    stranger.client.set_cookie("sigilo", open_session(databases, cast.stranger), domain="localhost")
    pages = set()
    for path in (f"/patients/{cast.patient_id}", f"/patients/{uuid.uuid4()}", "/nothing-here"):
        answer = stranger.get(path)
        assert answer.status_code == 404, path
        page = answer.get_data(as_text=True)
        pages.add(re.sub(r'name="(csrf_token|next)" value="[^"]*"', "", REQUEST_ID.sub("", page)))
    assert len(pages) == 1


def test_503_says_that_nothing_was_changed_and_when_to_try_again(make_own_app: MakeApp) -> None:
    away = Databases(dict.fromkeys(("staff", "patient", "anonymous", "auditor"), "postgresql://x@127.0.0.1:1/x"))
    browser = Browser(make_own_app(over=away))
    browser.client.set_cookie("sigilo", "somebody", domain="localhost")
    for headers in ({}, HTMX):
        answer = browser.get("/", headers=headers)
        page = answer.get_data(as_text=True)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "Nada foi alterado" in page
        assert 'data-retry-after="5"' in page
        assert answer.headers["X-Request-Id"] in page
    away.dispose()


def test_429_counts_down_on_a_page_and_inside_one(
    make_own_app: MakeApp, databases: Databases, cast: Cast
) -> None:
    browser = Browser(make_own_app(rate_limit_pages="1/hour"))
    browser.client.set_cookie("sigilo", open_session(databases, cast.nurse2), domain="localhost")
    browser.get("/password")
    for headers in ({}, HTMX):
        answer = browser.get("/password", headers=headers)
        page = answer.get_data(as_text=True)
        assert answer.status_code == 429
        assert f'data-retry-after="{answer.headers["Retry-After"]}"' in page
        assert f"<b data-countdown>{answer.headers['Retry-After']} s</b>" in page
    assert 'href=""' in browser.get("/password").get_data(as_text=True), "a way to try again"
