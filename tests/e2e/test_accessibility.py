"""axe finds nothing on any page or state of one: with all its rules in light on a desktop, with those about looks in
dark on a phone. At 200 % and on a phone nothing runs off the side or is cut off."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, Route, expect

from config import Settings
from models.engine import Databases
from services.errors import QuotaExceeded, Unauthenticated, Unavailable
from tests.e2e.accessibility_look import AXE_SOURCE, Look, show
from tests.e2e.accessibility_pages import NO_PAGE, PAGES, REFUSALS
from tests.e2e.accessibility_scene import Scene
from tests.e2e.accessibility_states import STATES
from tests.e2e.conftest import DESKTOP, listen, sign_in
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.web.conftest import MakeApp, make_own_app
from tests.web.live_server import LiveServer
from web.guards import PUBLIC, Routes, route_table

__all__ = ["make_own_app"]

TabOf = Callable[[str], Page]
NEW_CONTEXT: dict[str, Any] = {"locale": "pt-BR", "viewport": DESKTOP, "reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def scene(databases: Databases, settings: Settings, cast: Cast) -> Scene:
    return Scene(databases, settings, cast)


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    return []


@pytest.fixture(scope="module")
def tabs(
    chromium: Chromium, site: LiveServer, databases: Databases, cast: Cast, scene: Scene, complaints: list[str]
) -> Iterator[TabOf]:
    """One tab for each role, kept for all of them: who, or ``nobody``, or ``newcomer`` with a password to change.
    Whoever is signed in typed their password again a moment ago, so no page is hidden behind asking for it."""
    made: dict[str, Page] = {}
    people = cast.people | {"newcomer": scene.must_change}
    with ExitStack() as stack:

        def tab_of(who: str) -> Page:
            if who not in made:
                context = chromium.new_context(**NEW_CONTEXT, base_url=site.url)
                stack.callback(context.close)
                context.add_init_script(AXE_SOURCE)
                if who != "nobody":
                    sign_in(context, site, open_session(databases, people[who], stepped_up=True))
                made[who] = context.new_page()
                listen(made[who], complaints)
            return made[who]

        yield tab_of


@pytest.fixture
def tab_of(tabs: TabOf, complaints: list[str]) -> Iterator[TabOf]:
    """``tabs``; what the policy refused and what a script threw fails the test that caused it."""
    complaints.clear()
    yield tabs
    assert complaints == []


def open_at(page: Page, path: str, status: int = 200) -> None:
    """Load ``path`` and stand on it: a redirect to a page that asks for a password is no page of ours."""
    show(page, DESKTOP, "light")
    answer = page.goto(path)
    assert answer is not None
    assert (answer.status, urlsplit(page.url).path) == (status, urlsplit(path).path), path
    expect(page.locator("h1").first).to_be_visible(timeout=30_000)  # what is loaded may be long in the making


@pytest.mark.parametrize("who", PAGES)
def test_pages(tab_of: TabOf, scene: Scene, who: str) -> None:
    page, look = tab_of(who), Look()
    for number, path in enumerate(PAGES[who]):
        open_at(page, scene.path(path))
        look.at(page, f"{who} {path}", whole=number == 0)
    assert not look.found, "\n".join(look.found)


def test_refusals(tab_of: TabOf, scene: Scene) -> None:
    look = Look()
    for who, path, status in REFUSALS:
        open_at(tab_of(who), scene.path(path), status)
        look.at(tab_of(who), f"{who} {path}", whole=True)
    assert not look.found, "\n".join(look.found)


@pytest.mark.parametrize("name", STATES)
def test_states(tab_of: TabOf, scene: Scene, name: str) -> None:
    state, look = STATES[name], Look()
    page = tab_of(state.who)
    open_at(page, scene.path(state.path))
    state.reach(page, scene)
    look.at(page, name, within=state.within)
    assert not look.found, "\n".join(look.found)


def test_errors(tab_of: TabOf, make_own_app: MakeApp, complaints: list[str]) -> None:
    """The errors that a healthy server has none of: its own words for them, at an address of the site's."""
    errors = (Unauthenticated("x"), QuotaExceeded("x", 1800), RuntimeError("x"), Unavailable("x"))
    look, page, client = Look(), tab_of("doctor"), make_own_app(_raising(errors)).test_client()
    for number, status in enumerate((401, 429, 500, 503)):
        body = client.get(f"/raises/{number}", headers={"Accept": "text/html"}).text
        with answering(page, "**/raises", status, body):
            open_at(page, "/raises", status)
        look.at(page, str(status), whole=True)
    part = client.get("/raises/1", headers={"Accept": "text/html", "HX-Request": "true"})
    open_at(page, "/medical-records")
    with answering(page, "**/medical-records", 429, part.text, dict(part.headers)):
        page.locator("#find").evaluate("form => form.requestSubmit()")
        expect(page.locator("#problems [data-problem='429']")).to_be_visible()
    look.at(page, "429 in a page", within="#problems")
    complaints[:] = [each for each in complaints if "status of 500" not in each]
    assert not look.found, "\n".join(look.found)


@contextmanager
def answering(page: Page, url: str, status: int, body: str, headers: dict[str, str] | None = None) -> Iterator[None]:
    """``url`` is answered like this, and not by the site."""

    def answer(route: Route) -> None:
        route.fulfill(status=status, headers={"Content-Type": "text/html"} | (headers or {}), body=body)

    page.route(url, answer)
    yield
    page.unroute(url)


def _raising(errors: tuple[Exception, ...]) -> Routes:
    def view(number: int) -> None:
        raise errors[number]

    routes = Routes("raising")
    routes.add("/raises/<int:number>", view=view, guard=PUBLIC)
    return routes


def test_no_page_is_forgotten(app: Flask) -> None:
    routes = route_table(app).values()
    pages = [route for route in routes if "GET" in route.methods and not route.is_api]
    known = {route.rule for route in pages} | {"/api/docs"}
    address = app.url_map.bind("localhost")
    anything = _Anything()
    visited = {
        address.match(urlsplit(path.format_map(anything)).path, return_rule=True)[0].rule
        for path in (path for paths in PAGES.values() for path in paths)
    }
    assert known - visited - set(NO_PAGE) == set(), "pages that nobody looks at"
    assert set(NO_PAGE) <= known - visited, "exceptions for what is looked at, or is not there"


class _Anything(dict[str, str]):
    """An id in the place of any name."""

    def __missing__(self, name: str) -> str:
        return str(uuid.UUID(int=0))
