"""SECURITY 19 for pages: every route × every role × known and unknown object, with sessions and form tokens."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf
from werkzeug.test import TestResponse

from config import Settings
from models.engine import Databases
from services.job_schedule import CLEANUP
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.web.access_pages import ELSEWHERE, FORMS, ON_A_PATIENT_OF_THEIR_OWN, PAGES, Ids
from tests.web.access_table import ACTORS
from tests.web.test_access_matrix import UNKNOWN, Scene, guarded_routes

# What the guards lead to is measured where it is tested; here it runs ten times over.
pytestmark = pytest.mark.unmeasured

NOBODY = "anonymous"


def test_security_19_every_guarded_page_has_an_expectation(app: Flask) -> None:
    routes = guarded_routes(app, is_api=False)
    assert routes - set(PAGES) - ELSEWHERE == set(), "pages without an expectation"
    assert set(PAGES) | ELSEWHERE <= routes, "expectations without a page"
    assert {key for key in PAGES if key[0] == "POST"} <= set(FORMS), "forms without fields"


@pytest.fixture(scope="module")
def cookies(databases: Databases, cast: Cast) -> dict[str, str]:
    """Actor → the header with their session's cookie."""
    return {name: f"sigilo={open_session(databases, cast.people[name])}" for name in ACTORS if name != NOBODY}


def send(app: Flask, client: FlaskClient, method: str, rule: str, ids: Ids, cookie: str | None) -> TestResponse:
    path = rule
    for name, value in ids.items():
        path = path.replace(f"<uuid:{name}>", str(value))
    path = path.replace("<int:number>", "1").replace("<job>", CLEANUP)
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
    if cookie is not None:
        headers["Cookie"] = cookie
    if method == "GET":
        return client.get(path, headers=headers)
    with app.test_request_context(headers={"Cookie": cookie or "sigilo-visit=x"}):
        token = generate_csrf()
    if cookie is None:
        headers["Cookie"] = "sigilo-visit=x"
    return client.open(path, method=method, data=FORMS[method, rule](ids) | {"csrf_token": token}, headers=headers)


@pytest.mark.parametrize(("method", "rule"), sorted(PAGES))
def test_security_19_access_matrix_of_pages(
    app: Flask, client: FlaskClient, databases: Databases, settings: Settings, cast: Cast, cookies: dict[str, str],
    method: str, rule: str,
) -> None:  # fmt: skip
    expected = PAGES[method, rule]
    scene = Scene(databases, settings, cast, asks="question_id" in rule, is_read=rule.endswith("/summary"))
    wrong: list[str] = []
    for name in ACTORS:
        cookie = cookies.get(name)
        ids = scene.ids()
        if (method, rule) in ON_A_PATIENT_OF_THEIR_OWN:
            ids["patient_id"] = ids["team_patient"]
        cases = [(ids, expected.known[name])]
        if expected.unknown is not None:
            cases.append((dict.fromkeys(ids, UNKNOWN), expected.unknown[name]))
        for used, wanted in cases:
            answer = send(app, client, method, rule, used, cookie)
            scene.after(method, answer.status_code)
            # Who never signed in is led to the form; the form itself is what the guard answers with 401 elsewhere.
            status = 401 if answer.headers.get("Location", "").startswith("/login") else answer.status_code
            if status != wanted:
                wrong.append(f"{name}: {status}, expected {wanted}: {answer.get_data(as_text=True)[:200]}")
    assert wrong == []
