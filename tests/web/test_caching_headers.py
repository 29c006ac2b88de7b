"""What a cache on the way may keep: SECURITY 18 route by route, and the entity tags of every read of the API."""

from __future__ import annotations

import hashlib
import re
import uuid

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import text
from werkzeug.test import TestResponse

from config import Principal, Settings
from models.engine import Databases
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.web.access_pages import PAGES
from tests.web.access_table import SESSION_ONLY, TABLE
from tests.web.conftest import Browser, MakeApp
from tests.web.test_access_matrix import Scene, request_for
from tests.web.test_access_matrix_pages import send
from web.guards import PUBLIC, Routes, route_table
from web.headers import VARY
from web.static_files import FOREVER, files, static_url

DIGEST = re.compile(r'"[0-9a-f]{32}"')
VERSION = re.compile(r'"\d+(-[a-z0-9]+)?"')
VERSIONED = {"/api/medical-records/<uuid:record_id>", "/api/patients/<uuid:patient_id>"}
STATIC = "/static/<fingerprint>/<path:name>"


@pytest.fixture(scope="module")
def ids(databases: Databases, settings: Settings, cast: Cast) -> dict[str, uuid.UUID]:
    return Scene(databases, settings, cast, asks=True).ids()


def rules(app: Flask) -> set[str]:
    return {route.rule for route in route_table(app).values() if "GET" in route.methods}


def somebody(statuses: dict[str, int]) -> str:
    """Whoever is shown most: they get a 200 where anybody does."""
    return min(statuses.keys() - {"anonymous"}, key=lambda name: (statuses[name], name))


def test_security_18_no_route_lets_anything_but_a_fingerprinted_file_be_kept(
    app: Flask, client: FlaskClient, databases: Databases, cast: Cast, ids: dict[str, uuid.UUID]
) -> None:
    walked = {STATIC}
    for rule in sorted(rules(app) - walked):
        if ("GET", rule) in TABLE:
            name = somebody(TABLE["GET", rule].known)
            path, _ = request_for("GET", rule, ids)
            answer = client.get(path, headers=cast.people[name].headers)
        elif ("GET", rule) in PAGES:
            name = somebody(PAGES["GET", rule].known)
            answer = send(app, client, "GET", rule, ids, f"sigilo={open_session(databases, cast.people[name])}")
        else:  # nobody's, or for somebody who did something first: what a stranger is answered is an answer too
            answer = client.get(re.sub(r"<[^>]*>", "1", rule))
        walked.add(rule)
        assert answer.headers.getlist("Cache-Control") == ["no-store"], rule
        assert VARY in answer.headers.getlist("Vary"), rule
    assert walked == rules(app)


def test_files_may_be_kept_for_ever_by_anybody(app: Flask, client: FlaskClient) -> None:
    for name in files():
        answer = client.get(static_url(name))
        assert answer.headers.getlist("Cache-Control") == [FOREVER]
        assert FOREVER == "public, max-age=31536000, immutable"
        assert answer.headers.getlist("Vary") == ["Accept-Encoding"], "whoever asks, and with whatever cookies"
        assert "Set-Cookie" not in answer.headers
    assert client.get("/static/000000000000/css/tokens.css").headers["Cache-Control"] == "no-store"


def test_every_read_of_the_api_has_an_entity_tag(
    app: Flask, client: FlaskClient, cast: Cast, ids: dict[str, uuid.UUID]
) -> None:
    reads = {rule for method, rule in TABLE if method == "GET"}
    assert reads | {rule for _, rule in SESSION_ONLY} >= {rule for rule in rules(app) if is_read(app, rule)}
    for rule in sorted(reads):
        path, _ = request_for("GET", rule, ids)
        headers = cast.people[somebody(TABLE["GET", rule].known)].headers
        first = client.get(path, headers=headers)
        assert first.status_code == 200
        tag = first.headers["ETag"]
        assert (VERSION if rule in VERSIONED else DIGEST).fullmatch(tag), rule
        again = client.get(path, headers={**headers, "If-None-Match": f'"other", W/{tag}'})
        if rule in ("/api/audit-events", "/api/me/access-log"):
            continue  # reading them may add to what they show, so their tags may differ each time
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag), rule
        assert again.headers["Cache-Control"] == "no-store"
        other = client.get(path, headers={**headers, "If-None-Match": '"other"'})
        assert (other.status_code, other.data) == (200, first.data), rule


def is_read(app: Flask, rule: str) -> bool:
    return any(
        route.rule == rule and route.is_api and route.guard is not PUBLIC and "GET" in route.methods
        for route in route_table(app).values()
    )


def test_a_list_that_is_not_sent_is_read_and_in_the_trail_all_the_same(
    client: FlaskClient, databases: Databases, cast: Cast
) -> None:
    def read(**headers: str) -> TestResponse:
        return client.get("/api/medical-records?limit=1", headers={**cast.doctor.headers, **headers})

    tag = read().headers["ETag"]
    unseen = read(**{"If-None-Match": tag})
    assert unseen.status_code == 304
    with databases.session(Principal.WORKER) as session:
        found = session.execute(
            text("SELECT action, outcome FROM audit_outbox WHERE request_id = :id"),
            {"id": unseen.headers["X-Request-Id"]},
        ).all()
    assert [tuple(row) for row in found] == [("medical_record.list", "success")]


def test_a_tag_is_of_what_its_reader_sees(client: FlaskClient, cast: Cast, ids: dict[str, uuid.UUID]) -> None:
    path = f"/api/medical-records?patientId={cast.patient_id}"
    inside, outside = (client.get(path, headers=who.headers) for who in (cast.doctor, cast.doctor2))
    assert inside.headers["ETag"] != outside.headers["ETag"]
    taken = client.get(path, headers={**cast.doctor2.headers, "If-None-Match": inside.headers["ETag"]})
    assert taken.status_code == 200, "another's tag says nothing of one's own view"
    assert taken.data == outside.data


def test_a_tag_can_not_be_tested_for_a_guess(client: FlaskClient, make_own_app: MakeApp, cast: Cast) -> None:
    """It stands in logs on the way: only who has the key can tell what it is a digest of."""
    own = client.get("/api/me", headers=cast.doctor.headers)
    for digest in (hashlib.sha256, hashlib.md5, hashlib.sha1):
        assert own.headers["ETag"].strip('"') not in digest(own.data).hexdigest()
    elsewhere = Browser(make_own_app(secret_key=SecretStr("another key of more than 32 characters"))).client
    other = elsewhere.get("/api/me", headers=cast.doctor.headers)
    assert other.data == own.data
    assert other.headers["ETag"] != own.headers["ETag"]


def test_a_fragment_is_no_page(make_own_app: MakeApp) -> None:
    routes = Routes("kept")
    routes.add("/kept", view=lambda: "x", guard=PUBLIC, endpoint="kept")
    answer = Browser(make_own_app(routes)).client.get("/kept")
    varies = {name.strip() for value in answer.headers.getlist("Vary") for name in value.split(",")}
    assert {"HX-Request", "HX-Target", "Cookie"} <= varies
