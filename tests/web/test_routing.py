"""Routes go by path and method, whatever host a request names."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient


@pytest.mark.parametrize("host", ["clinic.example", "127.0.0.1:8000", "[::1]:8000", "a..b", f"{'x' * 70}.example", ""])
def test_no_host_leads_elsewhere(host: str, client: FlaskClient) -> None:
    answer = client.get("/livez", headers={"Host": host})
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    assert client.get("/nowhere", headers={"Host": host}).status_code == 404


def test_a_method_that_a_path_has_not_is_named_with_those_it_has(client: FlaskClient) -> None:
    answer = client.post("/livez")
    assert (answer.status_code, sorted(answer.headers["Allow"].split(", "))) == (405, ["GET", "HEAD"])
    assert client.head("/livez").status_code == 200


def test_a_folder_before_the_application_is_no_part_of_a_path(client: FlaskClient) -> None:
    assert client.get("/livez", environ_overrides={"SCRIPT_NAME": "/clinic"}).status_code == 200
    assert client.get("/clinic/livez").status_code == 404


def test_nothing_is_asked_that_would_need_the_host(app: Flask) -> None:
    """Of Werkzeug's adapter: hosts that are trusted, and redirects by a rule."""
    assert app.config["TRUSTED_HOSTS"] is None
    assert [rule.rule for rule in app.url_map.iter_rules() if rule.redirect_to or rule.defaults or rule.alias] == []
