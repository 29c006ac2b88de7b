"""The strict reader of bodies and query strings: SECURITY 20 and 28."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, Field, ValidationError
from werkzeug.test import create_environ, run_wsgi_app

from tests.factories.cast import Cast
from tests.web.conftest import Browser, MakeApp, new_address
from web.api.answers import json_answer
from web.api.schemas import ApiModel, PageQuery, ReasonBody, Text
from web.guards import PUBLIC, Limit, Routes
from web.request_body import MAX_BYTES, MAX_DEPTH, read_body, read_query


class Line(ApiModel):
    quantity: Annotated[int, Field(ge=1, le=10)]


class Note(ApiModel):
    full_name: Annotated[str, Text(20)]
    text: Annotated[str, Text(100_000, empty=True)] | None = None
    priority: Literal["HIGH", "LOW"] = "LOW"
    at: AwareDatetime | None = None
    urgent: bool = False
    lines: Annotated[list[Line], Field(max_length=3, default_factory=list)]


class Anything(ApiModel):
    value: Any = None


class Narrowed(PageQuery):
    since: AwareDatetime | None = None
    deleted: bool = False


def echo() -> Any:
    return json_answer(read_body(Note).sent())


def echo_anything() -> Any:
    return json_answer({"value": read_body(Anything).value})


def echo_query() -> Any:
    return json_answer({key: str(value) for key, value in read_query(Narrowed)})


@pytest.fixture
def client(make_own_app: MakeApp) -> FlaskClient:
    routes = Routes("echo")
    routes.add("/api/echo", view=echo, guard=PUBLIC, methods=["POST"], limit=Limit.NONE)
    routes.add("/api/anything", view=echo_anything, guard=PUBLIC, methods=["POST"], limit=Limit.NONE)
    routes.add("/api/query", view=echo_query, guard=PUBLIC, limit=Limit.NONE)
    return Browser(make_own_app(routes)).client


def send(client: FlaskClient, body: bytes, path: str = "/api/echo", **headers: str) -> Any:
    given_headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    # Straight to the route's own reader: the gate's checks are tested elsewhere, and bearer calls skip CSRF.
    return client.post(path, data=body, headers={**given_headers, "Authorization": "Bearer none"})


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.mimetype == "application/problem+json"
    body: dict[str, Any] = answer.get_json()
    assert {"type", "title", "status", "detail", "requestId"} <= set(body)
    assert body["status"] == status
    return body


def test_a_body_keeps_every_character(client: FlaskClient) -> None:
    body = {"fullName": " Ávila  \u200b", "text": "a\r\n\tb  "}
    answer = send(client, json.dumps(body).encode())
    assert answer.get_json() == body


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json; charset=iso-8859-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/fhir+json", 415),
        ("", 415),
    ],
)
def test_security_28_only_json_is_read(content_type: str, status: int, client: FlaskClient) -> None:
    assert send(client, b'{"fullName":"A"}', Content_Type=content_type).status_code == status


def test_security_28_compressed_bodies_are_refused(client: FlaskClient) -> None:
    problem_of(send(client, gzip.compress(b'{"fullName":"A"}'), Content_Encoding="gzip"), 415)


def test_security_28_large_bodies_are_refused(client: FlaskClient) -> None:
    problem_of(send(client, b'{"text":"' + b"x" * MAX_BYTES + b'"}'), 413)


def test_security_28_a_large_body_without_a_length_is_read_no_further(client: FlaskClient) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            return len(buffer)

    stream = Endless()
    environ = create_environ("/api/echo", method="POST", headers={"Authorization": "Bearer none"})
    environ |= {"CONTENT_TYPE": "application/json", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": stream}
    environ |= {"wsgi.input_terminated": True, "REMOTE_ADDR": new_address()}
    environ.pop("CONTENT_LENGTH", None)
    _, status, _ = run_wsgi_app(client.application, environ)
    assert status.startswith("413")
    assert stream.given < 3 * MAX_BYTES


MALFORMED = {
    "empty": b"",
    "cut off": b'{"fullName": "A"',
    "trailing": b'{"fullName":"A"} x',
    "two": b'{"fullName":"A"}{"fullName":"B"}',
    "name twice": b'{"fullName":"A","fullName":"B"}',
    "name twice, deeper": b'{"fullName":"A","lines":[{"quantity":1,"quantity":2}]}',
    "name twice, escaped": b'{"fullName":"A","full\\u004eame":"B"}',
    "NaN": b'{"fullName":NaN}',
    "Infinity": b'{"fullName":-Infinity}',
    "byte-order mark": b'\xef\xbb\xbf{"fullName":"A"}',
    "invalid UTF-8": b'{"fullName":"\xff"}',
    "UTF-16": '{"fullName":"A"}'.encode("utf-16"),
    "lone surrogate": b'{"fullName":"\\ud800"}',
    "control character": b'{"fullName":"a\nb"}',
    "single quotes": b"{'fullName':'A'}",
    "comment": b'{"fullName":"A"/* */}',
    "trailing comma": b'{"fullName":"A",}',
    "huge integer": b'{"fullName":"A","n":' + b"9" * 5000 + b"}",
    "beyond 64 bits": b'{"fullName":"A","n":9223372036854775808}',
    "beyond double": b'{"fullName":"A","n":1e400}',
    "deep list": b'{"fullName":' + b"[" * 40 + b"]" * 40 + b"}",
    "deep object": b'{"a":' * 40 + b"1" + b"}" * 40,
    "200,000 brackets": b"[" * 200_000,
    "200,000 nested": b'{"a":' * 200_000,
    "200,000 closed": b"[" * 200_000 + b"]" * 200_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_security_28_malformed_bodies_get_400(name: str, client: FlaskClient) -> None:
    problem = problem_of(send(client, MALFORMED[name]), 400)
    assert "errors" not in problem


def test_nesting_up_to_the_limit_is_read(client: FlaskClient) -> None:
    inner = MAX_DEPTH - 1
    assert send(client, b'{"value":' + b"[" * inner + b"]" * inner + b"}", "/api/anything").status_code == 200
    problem_of(send(client, b'{"value":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "/api/anything"), 400)


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"text"', b"true", b'[{"fullName":"A"}]'])
def test_security_28_a_body_that_is_no_object_gets_422(body: bytes, client: FlaskClient) -> None:
    assert problem_of(send(client, body), 422)["errors"] == [{"pointer": "", "message": "an object"}]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/fullName"]),
        ({"fullName": ""}, ["/fullName"]),
        ({"fullName": " \t\u3000"}, ["/fullName"]),
        ({"fullName": "x" * 21}, ["/fullName"]),
        ({"fullName": 1}, ["/fullName"]),
        ({"fullName": None}, ["/fullName"]),
        ({"fullName": "A\0"}, ["/fullName"]),
        ({"fullName": "A", "text": "   "}, ["/text"]),
        ({"fullName": "A", "priority": "URGENT"}, ["/priority"]),
        ({"fullName": "A", "urgent": "true"}, ["/urgent"]),
        ({"fullName": "A", "urgent": 1}, ["/urgent"]),
        ({"fullName": "A", "at": "yesterday"}, ["/at"]),
        ({"fullName": "A", "at": "2026-11-24T10:00:00"}, ["/at"]),
        ({"fullName": "A", "at": 1_700_000_000}, ["/at"]),
        ({"fullName": "A", "lines": [{"quantity": 1}, {"quantity": 0}]}, ["/lines/1/quantity"]),
        ({"fullName": "A", "lines": [{"quantity": "1"}]}, ["/lines/0/quantity"]),
        ({"fullName": "A", "lines": [{"quantity": 1.5}]}, ["/lines/0/quantity"]),
        ({"fullName": "A", "lines": [{"quantity": True}]}, ["/lines/0/quantity"]),
        ({"fullName": "A", "lines": [{}, {"quantity": 1, "note": "x"}]}, ["/lines/0/quantity", "/lines/1/note"]),
        ({"fullName": "A", "lines": {}}, ["/lines"]),
        ({"fullName": "A", "full_name": "B"}, ["/full_name"]),
        ({"fullName": "A", "id": 1, "version": 3}, ["/id", "/version"]),
        ({"fullName": "A", "lines": [{"quantity": 1, "x": "\0"}]}, ["/lines/0/x"]),
    ],
)
def test_security_20_unknown_and_wrong_fields_get_422_with_a_pointer_each(
    body: dict[str, Any], pointers: list[str], client: FlaskClient
) -> None:
    problem = problem_of(send(client, json.dumps(body).encode()), 422)
    assert [error["pointer"] for error in problem["errors"]] == pointers
    assert all(error["message"] for error in problem["errors"])


def test_a_problem_never_echoes_the_input(client: FlaskClient) -> None:
    """Neither values nor names that are none of ours: both can be a patient's."""
    marked = "Zqxj"
    bodies: list[Any] = [
        {"fullName": marked * 9},
        {"fullName": [marked]},
        {"fullName": "A", "priority": marked, "at": marked, "urgent": marked},
        {"fullName": "A", f"Maria {marked}": 1},
        {"fullName": "A", f"<{marked}>": {"a": 1}},
        {"fullName": "A", "lines": [{"quantity": marked}]},
        marked,
    ]
    for body in bodies:
        answer = send(client, json.dumps(body).encode())
        assert answer.status_code == 422
        assert marked not in answer.get_data(as_text=True)
    assert marked not in send(client, f'{{"fullName": {marked}'.encode()).get_data(as_text=True)


def test_what_was_sent_is_told_from_what_was_left_out(client: FlaskClient) -> None:
    assert send(client, b'{"fullName":"A","text":null}').get_json() == {"fullName": "A", "text": None}
    assert ReasonBody.model_validate({"reason": "x"}).sent() == {"reason": "x"}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=101", "/limit"),
        ("limit=1.5", "/limit"),
        ("limit=x", "/limit"),
        ("limit=1&limit=2", "/limit"),
        ("offset=1", "/offset"),
        ("since=2026-11-24T10:00:00", "/since"),
        ("since=soon", "/since"),
        ("deleted=maybe", "/deleted"),
        ("cursor=a%00b", "/cursor"),
        ("cursor=" + "x" * 501, "/cursor"),
    ],
)
def test_query_strings_are_as_strict(query: str, pointer: str, client: FlaskClient) -> None:
    problem = problem_of(client.get(f"/api/query?{query}"), 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


def test_a_query_string_is_read_by_type(client: FlaskClient) -> None:
    shown = client.get("/api/query?limit=5&since=2026-11-24T10:00:00Z&deleted=true&cursor=").get_json()
    assert shown == {"limit": "5", "since": "2026-11-24 10:00:00+00:00", "deleted": "True", "cursor": "None"}


def test_a_query_string_that_was_read_before_is_read_the_same(client: FlaskClient) -> None:
    for _ in range(2):
        assert client.get("/api/query?limit=5").get_json()["limit"] == "5"
        problem_of(client.get("/api/query?limit=5&limit=5"), 422)
        problem_of(client.get("/api/query?since=yesterday"), 422)
    with client.application.test_request_context("/?limit=5"):
        assert type(read_query(PageQuery)) is PageQuery, "each model by itself"
        assert read_query(Narrowed) is read_query(Narrowed)
        with pytest.raises(ValidationError):
            read_query(Narrowed).limit = 6  # type: ignore[misc]


def test_security_28_every_file_of_the_json_test_suite(client: FlaskClient, shared_data: Path) -> None:
    """y_ files are read (as an object's value), n_ files are refused, i_ files do either; nothing crashes."""
    files = sorted((shared_data / "hostile" / "JSONTestSuite").glob("*.json"))
    assert len(files) == 147
    for file in files:
        raw = file.read_bytes()
        alone = send(client, raw).status_code
        wrapped = send(client, b'{"value":' + raw + b"}", "/api/anything").status_code
        assert 400 <= alone < 500, file.name
        if file.name.startswith("n_"):
            assert 400 <= wrapped < 500, file.name
        elif file.name.startswith("y_"):
            assert wrapped != 400, file.name
            assert alone != 400, file.name
        else:
            assert wrapped < 500, file.name


def test_security_28_every_hostile_fhir_file_is_no_record(app: Flask, cast: Cast, shared_data: Path) -> None:
    client = Browser(app).client
    files = sorted((shared_data / "hostile" / "fhir-test-cases").iterdir())
    assert files
    for file in files:
        for path in ("/api/medical-records", "/api/medical-records/search"):
            answer = client.post(
                path, data=file.read_bytes(), content_type="application/json", headers=cast.doctor.headers
            )
            problem_of(answer, answer.status_code)
            assert answer.status_code in (400, 413, 422), file.name


def test_security_28_naughty_strings_round_trip(client: FlaskClient, shared_data: Path) -> None:
    strings = json.loads((shared_data / "hostile" / "naughty-strings.json").read_text(encoding="utf-8"))
    assert len(strings) > 250
    for text in strings:
        answer = send(client, orjson.dumps({"value": text}), "/api/anything")
        if "\0" in text:
            assert answer.status_code == 422
        else:
            assert answer.get_json() == {"value": text}
            assert answer.mimetype == "application/json"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values)
def test_whatever_is_json_comes_back_as_it_was(value: Any, client: FlaskClient) -> None:
    answer = send(client, json.dumps({"value": value}).encode(), "/api/anything")
    assert answer.status_code == 200
    assert answer.get_json()["value"] == value


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_security_28_any_bytes_get_an_answer_below_500(data: bytes, client: FlaskClient) -> None:
    assert 400 <= send(client, data).status_code < 500
