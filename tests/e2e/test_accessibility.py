"""axe finds nothing on any page, in either theme, on a desktop or a phone; and at 200 % nothing runs off the side."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from config import Principal, Settings
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.e2e.conftest import DESKTOP, PHONE, OpenAs
from tests.factories.cast import Cast

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# Role → the pages only it has, beside those of its navigation. ``{patient}`` and ``{record}`` are the cast's.
PAGES: dict[str, tuple[str, ...]] = {
    "doctor": (
        "/medical-records/new", "/medical-records/{record}", "/medical-records/{record}/edit",
        "/medical-records/{record}/versions", "/patients/{patient}", "/patients/{patient}/edit", "/patients/new",
        "/drafts", "/notifications", "/password",
    ),
    "doctor2": ("/medical-records/{record}", "/patients/{patient}"),
    "nurse": ("/patients/{patient}",),
    "reception": ("/patients/{patient}",),
    "admin": ("/users/new",),
    "auditor": (),
    "patient": (),
}  # fmt: skip
Ids = dict[str, str]


@pytest.fixture(scope="module")
def ids(databases: Databases, settings: Settings, cast: Cast) -> Ids:
    content = {"title": "Retorno", "diagnosis": "Hipertensão", "treatment": "Losartana", "cid10Codes": ["I10"]}
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(cast.patient_id, content)
        record = create_record(session, cast.doctor.actor, field_cipher(settings), new).record.id
    return {"patient": str(cast.patient_id), "record": str(record)}


def violations(page: Page) -> list[str]:
    """What axe has against the page as it is now, a line each."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{page.url} {each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}" for each in found
    ]


def everywhere(page: Page, look: Callable[[Page], list[str]]) -> list[str]:
    """``look`` at the open page in both themes, one on a desktop and one on a phone: contrast hangs on the theme,
    order and size on the width, and neither on the other."""
    seen: list[str] = []
    for theme, size in (("light", DESKTOP), ("dark", PHONE)):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        seen += look(page)
    return seen


@pytest.mark.parametrize("who", sorted(PAGES))
def test_axe_finds_nothing(open_as: OpenAs, ids: Ids, who: str) -> None:
    page = open_as(who)
    places = page.locator(".rail nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    found: list[str] = []
    for path in dict.fromkeys([*places, *(path.format(**ids) for path in PAGES[who])]):
        page.goto(path)
        found += everywhere(page, violations)
    assert found == []


def test_nothing_runs_off_the_side_at_200_percent(open_as: OpenAs, ids: Ids) -> None:
    # 200 % of a 1280 pixel wide window leaves 640 CSS pixels (WCAG 2.2, 1.4.4 and 1.4.10).
    page = open_as("doctor", viewport={"width": 640, "height": 430})
    for path in ("/", "/patients", "/medical-records", *(path.format(**ids) for path in PAGES["doctor"])):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 640, path
