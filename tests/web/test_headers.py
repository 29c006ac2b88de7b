"""What every answer carries, what no template may contain, and who may call from elsewhere: SECURITY 16-18, 26."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.factories.cast import Cast
from tests.web.conftest import Browser, Login, MakeApp
from web.guards import PUBLIC, Routes
from web.static_files import FOLDER, static_url

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def explode() -> str:
    raise ZeroDivisionError("Maria da Silva has diagnosis X")


def broken() -> Routes:
    routes = Routes("broken")
    routes.add("/api/broken", view=explode, guard=PUBLIC)
    return routes


def every_kind_of_answer(app: Flask, cast: Cast) -> dict[str, TestResponse]:
    client = Browser(app).client
    bearer = {"Authorization": f"Bearer {cast.doctor.token}"}
    return {
        "page": client.get("/login"),
        "redirect": client.get("/", headers={"Accept": "text/html"}),
        "json": client.get("/api/me", headers=bearer),
        "empty": client.get("/api/openapi.json", headers={"If-None-Match": "*"}),
        "static": client.get(static_url("css/tokens.css")),
        "not found": client.get("/nothing-here"),
        "static not found": client.get("/static/0/nothing"),
        "wrong method": client.delete("/login"),
        "refused": client.post("/logout"),
        "unauthenticated": client.get("/api/me"),
        "malformed": client.post("/api/medical-records", data=b"{", headers=bearer, content_type="application/json"),
        "unexpected": client.get("/api/broken"),
        "health": client.get("/livez"),
    }


def test_security_16_strict_headers_on_every_answer(make_own_app: MakeApp, cast: Cast) -> None:
    for name, answer in every_kind_of_answer(make_own_app(broken()), cast).items():
        headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe-" not in policy, name
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == directives["style-src"] == "'self'"
        assert directives["object-src"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
        assert headers["X-Frame-Options"] == "DENY", name
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "geolocation=()" in headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in headers, "not where there is no HTTPS"
        assert headers["Server"] == "Sigilo"
        assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-Id"]), name
        assert len(headers.getlist("Content-Security-Policy")) == 1


def test_security_16_hsts_in_production(make_own_app: MakeApp, cast: Cast) -> None:
    for answer in every_kind_of_answer(make_own_app(broken(), sigilo_env="production"), cast).values():
        assert answer.headers["Strict-Transport-Security"] == "max-age=15552000; includeSubDomains"


def test_security_18_nothing_is_cached_but_fingerprinted_files(app: Flask, cast: Cast) -> None:
    for name, answer in every_kind_of_answer(app, cast).items():
        expected = "public, max-age=31536000, immutable" if name == "static" else "no-store"
        assert answer.headers.getlist("Cache-Control") == [expected], name


def test_security_18_no_script_keeps_anything_in_the_browser() -> None:
    for script in FOLDER.rglob("*.js"):
        assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", script.read_text()), script


@pytest.mark.parametrize("page", TEMPLATES, ids=lambda path: path.name)
def test_security_17_no_template_asks_for_eval_or_inline_code(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    for pattern in (
        r"hx-on", r"\bjs:", r"javascript:", r"hx-trigger=\"[^\"]*\[", r"\sstyle=", r"\son[a-z]+\s*=", r"<style",
        r"<script(?![^>]*\ssrc=)", r"\|\s*safe\b", r"https?://(?!www\.w3\.org)",
    ):  # fmt: skip
        assert not re.search(pattern, source), f"{pattern} in {page}"


def test_static_files_are_served_by_fingerprint_only(app: Flask) -> None:
    client = Browser(app).client
    assert client.get(static_url("css/tokens.css")).mimetype == "text/css"
    for path in ("/static/css/tokens.css", "/static/000000000000/css/tokens.css", "/static/x/../../web/app.py"):
        assert client.get(path).status_code == 404


def test_an_unexpected_error_says_nothing_of_its_cause(
    make_own_app: MakeApp, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    answer = Browser(make_own_app(broken())).client.get("/api/broken?name=Maria")
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert set(answer.get_json()) == {"type", "title", "status", "detail", "requestId"}
    assert answer.get_json()["requestId"] == answer.headers["X-Request-Id"]
    written = capfdbinary.readouterr().out
    lines = [json.loads(line) for line in written.splitlines()]
    assert any(line.get("exception") == ["builtins.ZeroDivisionError"] for line in lines)
    for leaked in (b"Maria", b"Silva", b"diagnosis"):
        assert leaked not in answer.data
        assert leaked not in written


def test_logs_name_the_rule_and_never_the_path_or_query(
    app: Flask, cast: Cast, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = f"/api/medical-records/{cast.patient_id}?includeDeleted=true&q=Maria"
    Browser(app).client.get(path, headers=cast.doctor.headers)
    written = capfdbinary.readouterr().out
    line = json.loads(written.splitlines()[-1])
    assert line["route"] == "/api/medical-records/<uuid:record_id>"
    assert {"time", "level", "requestId", "status", "durationMs", "userId", "role", "method"} <= set(line)
    for leaked in (str(cast.patient_id), "Maria", cast.doctor.token, "Ana"):
        assert leaked.encode() not in written


def test_security_26_cors_is_closed_by_default(app: Flask, cast: Cast) -> None:
    client = Browser(app).client
    headers = {**cast.doctor.headers, "Origin": "https://app.example.org"}
    assert "Access-Control-Allow-Origin" not in client.get("/api/me", headers=headers).headers
    asked = client.options("/api/me", headers={**headers, "Access-Control-Request-Method": "GET"})
    assert asked.status_code == 403
    assert "Access-Control-Allow-Origin" not in asked.headers


def test_security_26_cors_opens_to_exact_origins_only(make_own_app: MakeApp, cast: Cast) -> None:
    client = Browser(make_own_app(cors_origins=("https://app.example.org",))).client
    good = {**cast.doctor.headers, "Origin": "https://app.example.org"}
    answer = client.get("/api/me", headers=good)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers.getlist("Vary")
    asked = client.options("/api/me", headers={**good, "Access-Control-Request-Method": "PUT"})
    assert asked.status_code == 204
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    for origin in (
        "https://app.example.org.evil.example", "http://app.example.org", "https://app.example.org:8443", "null",
        "https://APP.example.org",
    ):  # fmt: skip
        bad = client.get("/api/me", headers={**good, "Origin": origin})
        assert "Access-Control-Allow-Origin" not in bad.headers
        refused = client.options("/api/me", headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
        assert refused.status_code == 403
    assert "Access-Control-Allow-Origin" not in client.get("/login", headers=good).headers, "pages are for nobody else"


def test_security_13_a_forged_forwarded_address_changes_nothing(
    app: Flask, make_own_app: MakeApp, make_login: Callable[..., Login]
) -> None:
    """The address decides the anonymous quota: without a trusted proxy the header is only text."""
    own = make_own_app(rate_limit_anonymous="3/minute")
    client = Browser(own).client
    statuses = [
        client.get("/api/openapi.json", headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(4)
    ]
    assert statuses == [200, 200, 200, 429]


def test_a_request_id_counts_from_a_trusted_proxy_only(app: Flask, make_own_app: MakeApp) -> None:
    given = {"X-Request-Id": "edge-1234567890"}
    assert Browser(app).client.get("/livez", headers=given).headers["X-Request-Id"] != "edge-1234567890"
    trusting = make_own_app(trusted_proxies=app.extensions["sigilo"].settings.metrics_networks)
    client = Browser(trusting, "127.0.0.1").client
    assert client.get("/livez", headers=given).headers["X-Request-Id"] == "edge-1234567890"
    odd = client.get("/livez", headers={"X-Request-Id": "<script>alert(1)</script>"}).headers["X-Request-Id"]
    assert "<" not in odd
