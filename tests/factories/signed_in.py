"""Somebody of the cast at a browser, without Chromium: pages and forms as the server answers them."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from models.engine import Databases
from tests.factories.browser_session import open_session
from tests.factories.cast import Person
from tests.web.conftest import Browser


class SignedIn:
    """``page`` and ``send`` give the answer; ``into`` asks as htmx does, for the element with that id."""

    def __init__(self, app: Flask, databases: Databases, person: Person) -> None:
        self.browser = Browser(app)
        self.browser.client.set_cookie("sigilo", open_session(databases, person), domain="localhost")

    def page(self, path: str, *, into: str | None = None) -> TestResponse:
        return self.browser.get(path, headers=_headers(into))

    def send(self, path: str, fields: dict[str, Any] | None = None, *, into: str | None = None) -> TestResponse:
        return self.browser.post(path, fields or {}, form="/password", headers=_headers(into))


def _headers(into: str | None) -> dict[str, str]:
    return {} if into is None else {"HX-Request": "true", "HX-Target": f"div#{into}"}
