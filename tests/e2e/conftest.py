"""The pages in a real Chromium, from the real server. Each test opens browsers as people of the cast.

What the policy refuses, a script that throws, and an error on the console fail the test that caused them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright
from sqlalchemy import update

from config import Principal, Settings
from models import Visit
from models.engine import Databases
from tests.browser import chromium_path
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, Person
from tests.web.conftest import make_login
from tests.web.live_server import LiveServer, live_server

__all__ = ["make_login"]

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 860}
PLENTY = "1000000/minute"
# A tab lives for seconds: optimizing its scripts takes a quarter more of a processor than it saves.
JAVASCRIPT = "--js-flags=--always-sparkplug --no-maglev --no-opt"
OpenAs = Callable[..., Page]

# Chromium reports these answers by itself; the pages show them to the reader.
EXPECTED = (
    *(f"status of {status}" for status in (401, 403, 404, 409, 410, 422, 429, 503)),
    "net::ERR_INTERNET_DISCONNECTED",
    "htmx:error: Failed to fetch",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.unmeasured)  # what a page runs is measured in tests/web


@pytest.fixture(scope="session")
def site(settings: Settings, home: Path, cast: Cast) -> Iterator[LiveServer]:
    with live_server(
        settings, home, RATE_LIMIT_ANONYMOUS=PLENTY, RATE_LIMIT_LOGIN=PLENTY, RATE_LIMIT_PAGES=PLENTY,
        RATE_LIMIT_LIVE=PLENTY,
    ) as server:  # fmt: skip
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--disable-background-networking", JAVASCRIPT]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_as(chromium: Chromium, site: LiveServer, databases: Databases, cast: Cast) -> Iterator[OpenAs]:
    """``open_as("doctor", "/patients", viewport=PHONE, color_scheme="dark")``: a tab of a browser of their own.

    Takes a name of the cast or a Person; other options go to Playwright's context.
    """
    complaints: list[str] = []
    with ExitStack() as stack:

        def open_page(who: str | Person, path: str = "/", **options: Any) -> Page:
            person = cast.people[who] if isinstance(who, str) else who
            context = chromium.new_context(
                **{"locale": "pt-BR", "base_url": site.url, "viewport": DESKTOP, "reduced_motion": "reduce"} | options
            )
            stack.callback(context.close)
            sign_in(context, site, open_session(databases, person))
            page = context.new_page()
            listen(page, complaints)
            page.goto(path)
            return page

        yield open_page
    assert complaints == []


def sign_in(context: BrowserContext, site: LiveServer, secret: str) -> None:
    context.add_cookies([{"name": "sigilo", "value": secret, "url": site.url, "httpOnly": True, "sameSite": "Lax"}])


def listen(page: Page, complaints: list[str], *, allowed: tuple[str, ...] = ()) -> None:
    """Have ``page`` add to ``complaints`` what goes wrong in it, but for what is EXPECTED or ``allowed``. What the
    policy refuses is on the console too."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(known in message.text for known in (*EXPECTED, *allowed)):
            complaints.append(f"{page.url}: {message.text}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))


@pytest.fixture
def empty_room(databases: Databases) -> None:
    """Nobody waits: a list shows the first of many, and other modules leave some."""
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(Visit).where(Visit.status.in_(["WAITING", "IN_CARE"])).values(
                status="DONE", closed_at=datetime.now(UTC)
            )
        )  # fmt: skip
