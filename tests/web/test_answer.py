"""An answer that is whole goes to the server as a list, in one piece; any other goes as Werkzeug would give it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, request
from werkzeug.test import create_environ, run_wsgi_app

from tests.web.conftest import MakeApp
from web.guards import PUBLIC, Limit, Routes

TEXT = "João ou Conceição\n"


def closing(note: Callable[[], Any]) -> Response:
    answer = Response(TEXT)
    answer.call_on_close(note)
    return answer


@pytest.fixture
def closed() -> list[str]:
    """What was told that it is over."""
    return []


@pytest.fixture
def whole(make_own_app: MakeApp, closed: list[str]) -> Flask:
    routes = Routes("whole")
    views: dict[str, Callable[[], Any]] = {
        "text": lambda: TEXT,
        "pieces": lambda: Response([TEXT, TEXT]),
        "counted": lambda: Response([TEXT], headers={"Content-Length": str(len(TEXT.encode()))}),
        "stream": lambda: Response(piece for piece in (TEXT, TEXT)),
        "closing": lambda: closing(lambda: closed.append("closing")),
        "created": lambda: (TEXT, 201),
        "nothing": lambda: ("", 204),
        "same": lambda: Response(status=304, headers={"ETag": '"1"', "Content-Length": "9"}),
        "away": lambda: Response(status=303, headers={"Location": "/outro?é"}),
        "what": lambda: request.args.get("what", ""),
    }
    for name, view in views.items():
        routes.add(f"/api/whole/{name}", view=view, guard=PUBLIC, limit=Limit.NONE, endpoint=name)
    return make_own_app(routes)


def given(app: Flask, path: str) -> Any:
    """The very object that the server gets."""

    def start(*_: Any) -> Callable[[bytes], object]:
        return len

    return app(create_environ(path), start)


def test_a_whole_body_is_given_in_one_piece(whole: Flask) -> None:
    assert given(whole, "/api/whole/text") == [TEXT.encode()]
    assert given(whole, "/api/whole/what?what=%C3%A9") == ["é".encode()]


def test_other_answers_are_what_they_would_be(whole: Flask) -> None:
    for path, body, status in (
        ("text", TEXT, "200 OK"), ("pieces", 2 * TEXT, "200 OK"),
        ("counted", TEXT, "200 OK"), ("stream", 2 * TEXT, "200 OK"),
        ("closing", TEXT, "200 OK"), ("created", TEXT, "201 CREATED"), ("nothing", "", "204 NO CONTENT"),
        ("same", "", "304 NOT MODIFIED"),
    ):  # fmt: skip
        pieces, said, headers = run_wsgi_app(whole, create_environ(f"/api/whole/{path}"))
        assert (b"".join(pieces).decode(), said) == (body, status), path
        length = headers.get("Content-Length")
        assert length == (None if not body or path == "stream" else str(len(body.encode()))), path


def test_who_waits_for_the_end_is_told(whole: Flask, closed: list[str]) -> None:
    pieces = given(whole, "/api/whole/closing")
    assert (b"".join(pieces).decode(), closed) == (TEXT, [])
    pieces.close()
    assert closed == ["closing"]


def test_a_head_has_the_length_and_no_body(whole: Flask) -> None:
    pieces, said, headers = run_wsgi_app(whole, create_environ("/api/whole/text", method="HEAD"))
    assert (b"".join(pieces), said) == (b"", "200 OK")
    assert headers["Content-Length"] == str(len(TEXT.encode()))


def test_a_redirect_has_an_address_of_plain_letters(whole: Flask) -> None:
    _, _, headers = run_wsgi_app(whole, create_environ("/api/whole/away"))
    assert headers["Location"] == "/outro?%C3%A9"
