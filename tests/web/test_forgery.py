"""Requests that other sites make, and that nothing changes on GET: SECURITY 14 and 15."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text

from config import Principal
from models.engine import Databases
from tests.factories.cast import Cast
from tests.web.conftest import Browser, Login, csrf_of
from tests.web.signed_in import signed_in
from web.csrf import UNSAFE_METHODS
from web.guards import Route, route_table

pytestmark = pytest.mark.unmeasured  # every route once more


def path_of(route: Route) -> str:
    """A path that matches ``route``."""
    with_ids = route.rule
    for part in route.rule.split("/"):
        if part.startswith("<"):
            with_ids = with_ids.replace(part, "1" if part.startswith("<int") else str(uuid.uuid4()))
    return with_ids


def unsafe_routes(app: Flask) -> list[tuple[str, Route]]:
    return [
        (method, route) for route in route_table(app).values() for method in route.methods if method in UNSAFE_METHODS
    ]


def test_security_14_every_unsafe_route_without_a_token_gets_403(app: Flask, make_login: Callable[..., Login]) -> None:
    browser = Browser(app)
    browser.sign_in(make_login())
    for method, route in unsafe_routes(app):
        answer = browser.client.open(path_of(route), method=method, json={})
        assert answer.status_code == 403, f"{method} {route.rule}"
    assert browser.get("/api/me").status_code == 200, "nothing happened, signing out included"


def test_security_14_every_unsafe_route_from_another_site_gets_403(
    app: Flask, make_login: Callable[..., Login]
) -> None:
    browser = Browser(app)
    browser.sign_in(make_login())
    token = csrf_of(browser.get("/"))
    for site in ("cross-site", "same-site"):
        for method, route in unsafe_routes(app):
            headers = {"Sec-Fetch-Site": site, "X-CSRFToken": token}
            answer = browser.client.open(path_of(route), method=method, json={}, headers=headers)
            assert answer.status_code == 403, f"{method} {route.rule}"


def test_security_14_an_older_browser_is_judged_by_its_origin(app: Flask, make_login: Callable[..., Login]) -> None:
    browser = Browser(app)
    browser.sign_in(make_login())
    token = csrf_of(browser.get("/"))
    for origin in ("https://evil.example", "null"):
        answer = browser.client.post("/logout", data={"csrf_token": token}, headers={"Origin": origin})
        assert answer.status_code == 403
    answer = browser.client.post("/logout", data={"csrf_token": token}, headers={"Origin": "http://localhost"})
    assert answer.status_code == 303


def test_security_14_a_token_fits_its_own_session_only(app: Flask, make_login: Callable[..., Login]) -> None:
    mine, theirs = Browser(app), Browser(app)
    mine.sign_in(make_login())
    theirs.sign_in(make_login())
    foreign = csrf_of(theirs.get("/"))
    assert mine.client.post("/logout", data={"csrf_token": foreign}).status_code == 403
    before_sign_in = csrf_of(Browser(app).get("/login"))
    assert mine.client.post("/logout", data={"csrf_token": before_sign_in}).status_code == 403
    assert mine.client.post("/logout", data={"csrf_token": csrf_of(mine.get("/"))}).status_code == 303


def test_security_14_a_token_from_before_sign_in_dies_with_it(app: Flask, make_login: Callable[..., Login]) -> None:
    browser = Browser(app)
    before = csrf_of(browser.get("/login"))
    browser.sign_in(make_login())
    assert browser.client.post("/logout", data={"csrf_token": before}).status_code == 403


def test_security_14_bearer_calls_need_no_token(app: Flask, cast: Cast) -> None:
    client = app.test_client(use_cookies=False)
    headers = {**cast.doctor.headers, "Sec-Fetch-Site": "cross-site"}
    answer = client.post("/api/medical-records/search", json={"q": "dor"}, headers=headers)
    assert answer.status_code == 200


def test_security_14_a_bearer_header_does_not_open_the_door_for_a_cookie(
    app: Flask, make_login: Callable[..., Login]
) -> None:
    browser = Browser(app)
    browser.sign_in(make_login())
    for header in ("Bearer sgl_nonsense", "Basic YTpi"):
        assert browser.client.post("/logout", headers={"Authorization": header}).status_code == 403, "no form token"
        assert browser.get("/api/me", headers={"Authorization": header}).status_code == 401, "the header decides there"
        headers = {"Authorization": header, "Sec-Fetch-Site": "cross-site"}
        assert browser.client.post("/logout", headers=headers).status_code == 403
        assert browser.client.post("/login", data={"email": "a"}, headers=headers).status_code == 403
        assert browser.client.post("/login", data={"email": "a"}, headers={"Authorization": header}).status_code == 403
    assert browser.get("/api/me").status_code == 200


def test_security_14_a_token_of_ones_own_posts_no_form(app: Flask, cast: Cast) -> None:
    client = app.test_client(use_cookies=False)
    assert client.post("/password", data={}, headers=cast.doctor.headers).status_code == 401


def test_security_22_a_token_opens_no_page(app: Flask, cast: Cast) -> None:
    """A page called with a good token is called by nobody, whatever page it is."""
    for route in route_table(app).values():
        if "GET" in route.methods and not route.is_api and route.guard.signed_in:
            path = path_of(route)
            with_token, without = Browser(app).get(path, headers=cast.doctor.headers), Browser(app).get(path)
            assert with_token.status_code == without.status_code, route.rule
            assert with_token.status_code in (303, 401), route.rule
            assert with_token.headers.get("Location") == without.headers.get("Location"), route.rule


def test_security_22_a_page_goes_by_its_session_whatever_the_header(
    app: Flask, databases: Databases, cast: Cast
) -> None:
    browser = signed_in(app, databases, cast.doctor)
    for headers in (cast.admin.headers, {"Authorization": "Bearer sgl_nonsense"}, {}):
        assert browser.get("/patients", headers=headers).status_code == 200
        assert browser.get("/users", headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["/logout"])
def test_security_15_what_changes_state_is_no_get(path: str, app: Flask) -> None:
    assert app.test_client().get(path).status_code == 405


def test_security_15_no_get_changes_a_row(app: Flask, cast: Cast, databases: Databases) -> None:
    """Every GET route is called as everybody; no table but those of reading's own traces may have changed."""
    client = app.test_client(use_cookies=False)
    browsers = [signed_in(app, databases, person) for person in cast.people.values()]
    before = contents(databases)
    for route in route_table(app).values():
        if "GET" not in route.methods:
            continue
        for person, browser in zip(cast.people.values(), browsers, strict=True):
            if route.is_api:
                client.get(path_of(route), headers=person.headers)
            else:
                browser.get(path_of(route))
    assert contents(databases) == before


# Tables where a read may leave its mark: its event, its quota, the time its token was used.
TRACES = {"audit_outbox", "rate_limit_log", "api_tokens", "login_failures", "sessions"}


def contents(databases: Databases) -> dict[str, int]:
    """Table → a number that changes with its content, but for ``TRACES``."""
    with databases.session(Principal.MIGRATOR) as session:
        tables = [
            row[0]
            for row in session.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
            if row[0] not in TRACES and not row[0].startswith("audit_trail")
        ]
        return {
            table: session.execute(
                text(f"SELECT coalesce(sum(hashtext(t::text)::bigint), 0) + count(*) FROM {table} t")
            ).scalar_one()
            for table in tables
        }
