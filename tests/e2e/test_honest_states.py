"""Refused, missing, too quick, or away: each says what happened and what to do, on a page and inside one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from config import Principal, Settings
from models import Role
from models.engine import Databases
from tests.e2e.conftest import PLENTY, OpenAs, listen, sign_in
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, make_person
from tests.web.live_server import LiveServer, live_server

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
OpenAt = Callable[[LiveServer], Page]


@pytest.fixture
def open_at(chromium: Chromium, databases: Databases) -> Iterator[OpenAt]:
    """A tab of an administrator's browser at another server than the one all tests share."""
    contexts, complaints = [], list[str]()

    def opened(server: LiveServer) -> Page:
        nobody_yet = make_person(databases, Role.ADMIN, "Nina Prado")  # whose quota nobody has spent from
        context = chromium.new_context(locale="pt-BR", base_url=server.url, reduced_motion="reduce")
        contexts.append(context)
        sign_in(context, server, open_session(databases, nobody_yet))
        page = context.new_page()
        listen(page, complaints)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def test_403_explains_and_404_reveals_nothing(open_as: OpenAs, cast: Cast) -> None:
    page = open_as("doctor", "/system")
    expect(page.locator("h1")).to_have_text("Você não pode fazer isto")
    expect(page.locator("main")).to_contain_text("Seu papel não permite isto")
    texts = set()
    for path in (f"/patients/{cast.patient_id}", f"/patients/{uuid.uuid4()}", "/nothing-here"):
        stranger = open_as("stranger", path)
        texts.add(stranger.locator("main").inner_text().rsplit("404 · ", 1)[0])
    assert len(texts) == 1


def test_429_counts_down_on_a_page_and_inside_one(settings: Settings, tmp_path: Path, open_at: OpenAt) -> None:
    quotas: dict[str, Any] = {"RATE_LIMIT_ANONYMOUS": PLENTY, "RATE_LIMIT_LIVE": PLENTY, "RATE_LIMIT_PAGES": "2/minute"}
    with live_server(settings, tmp_path, **quotas) as server:
        page = open_at(server)
        page.goto("/rate-limits")
        period = page.get_by_label("Período")
        period.select_option("7d")
        expect(page).to_have_url(f"{server.url}/rate-limits?period=7d&outcome=&bucket=&user=")
        period.select_option("1h")
        problem = page.locator("#problems [data-problem='429']")
        expect(problem).to_contain_text("Pedidos demais")
        watch_the_countdown(page, problem.locator("[data-countdown]").inner_text())
        expect(period).to_have_value("1h")
        page.goto("/system")
        expect(page.locator("h1")).to_have_text("Pedidos demais")
        watch_the_countdown(page, page.locator("[data-countdown]").inner_text())
        expect(page.get_by_role("link", name="Tentar de novo")).to_be_visible()


def watch_the_countdown(page: Page, before: str) -> None:
    """It shows fewer seconds than it did."""
    shown = page.locator("[data-countdown]:visible").first
    expect(shown).not_to_have_text(before)
    assert int(shown.inner_text().removesuffix(" s")) < int(before.removesuffix(" s"))


def test_503_while_the_database_is_away(settings: Settings, tmp_path: Path, open_at: OpenAt) -> None:
    away: dict[str, Any] = {f"DATABASE_URL_{principal.name}": NOWHERE for principal in Principal}
    with live_server(settings, tmp_path, RATE_LIMIT_ANONYMOUS=PLENTY, **away) as server:
        page = open_at(server)
        page.goto("/")
        expect(page.locator("h1")).to_have_text("Não podemos responder agora")
        expect(page.locator("main")).to_contain_text("Nada foi alterado")
        expect(page.get_by_role("link", name="Tentar de novo")).to_be_visible()
