"""What takes long says so while it does."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from tests.e2e.conftest import OpenAs


def test_a_search_that_takes_long_says_so_and_stops_saying_it(open_as: OpenAs) -> None:
    page = open_as("doctor", "/medical-records")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    page.route("**/medical-records", hold)
    searching = page.locator("#finding")
    expect(searching).to_be_hidden()
    page.get_by_label("Palavras no registro").fill("enxaqueca")
    expect(searching).to_be_visible()
    expect(searching).to_have_text("Buscando…")
    held[0].continue_()
    expect(searching).to_be_hidden()
