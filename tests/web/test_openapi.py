"""The OpenAPI document: valid, complete, and true to the routes it describes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from services.permissions import Scope
from tests.factories.cast import Cast
from tests.web.conftest import Browser
from web.guards import route_table

WITHOUT_DOCUMENT = {"/api/openapi.json", "/api/docs"}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return Browser(app).client


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    found: dict[str, Any] = answer.get_json()
    return found


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(inner) for inner in value.values()))
        return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == schemas, "none missing, none unused"


def test_every_call_of_the_api_is_described(app: Flask, document: dict[str, Any]) -> None:
    for route in route_table(app).values():
        if route.is_api and route.rule not in WITHOUT_DOCUMENT:
            assert route.operation is not None, f"{route.rule} declares no operation"
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    served = {
        (route.rule.replace("<uuid:", "{").replace("<int:", "{").replace("<", "{").replace(">", "}"), method.lower())
        for route in route_table(app).values()
        if route.operation is not None
        for method in route.methods
    }
    assert described == served


def test_operations_say_who_may_call_and_what_can_go_wrong(document: dict[str, Any]) -> None:
    identifiers = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            identifiers.add(operation["operationId"])
            statuses = set(operation["responses"])
            assert statuses & {"200", "201", "202", "204"}, f"{method} {path}"
            if operation["security"]:
                assert {"401", "403", "429"} <= statuses, f"{method} {path}"
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                assert {"400", "413", "415", "422"} <= statuses, f"{method} {path}"
            scopes = [scope for way in operation["security"] for scope in way.get("bearer", [])]
            assert set(scopes) <= set(Scope)
            for status in statuses:
                if int(status) >= 400 and path != "/api/health":
                    assert list(operation["responses"][status]["content"]) == ["application/problem+json"]
    assert len(identifiers) == sum(len(item) for item in document["paths"].values())


def test_the_document_is_kept_and_revalidated(client: FlaskClient) -> None:
    first = client.get("/api/openapi.json")
    again = client.get("/api/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""


def test_a_real_answer_has_the_shape_described(client: FlaskClient, document: dict[str, Any], cast: Cast) -> None:
    shown = client.get("/api/me", headers=cast.doctor.headers).get_json()
    schema = document["components"]["schemas"]["Me"]
    assert set(shown) == set(schema["properties"])


def test_the_docs_page_has_no_script_of_its_own(client: FlaskClient) -> None:
    page = client.get("/api/docs").get_data(as_text=True)
    assert page.count("<script") == 1
    assert '<script src="/static/' in page
    assert "style=" not in page
