"""Callers of the web platform's tests: browsers with cookies, from addresses of their own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import Principal, Settings
from models.engine import Databases
from services.audit_event import SYSTEM
from services.field_encryption import field_cipher
from services.user_create import create_user
from tests.factories.cast import Cast, as_made
from web.app import make_app
from web.guards import Routes
from web.routes import GROUPS

PASSWORD = "cavalo certo bateria grampo"
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
MakeApp = Callable[..., Flask]


@pytest.fixture(scope="module", autouse=True)
def cast_as_made(databases: Databases, cast: Cast) -> None:
    """Who is inside and who outside is what most of these tests are about."""
    as_made(databases, cast)


def new_address() -> str:
    """An address that nobody else in the run calls from: quotas and locks are counted by address."""
    return f"10.{secrets.randbelow(250)}.{secrets.randbelow(250)}.{1 + secrets.randbelow(250)}"


def csrf_of(answer: TestResponse) -> str:
    found = CSRF.search(answer.get_data(as_text=True))
    assert found is not None, answer.get_data(as_text=True)[:500]
    return found[1]


@dataclass(frozen=True)
class Login:
    """Somebody who can sign in at the form."""

    email: str
    password: str = PASSWORD


class Browser:
    """A browser: keeps cookies, loads a page before it sends that page's form, says it is same-origin."""

    def __init__(self, app: Flask, address: str | None = None, base_url: str = "http://localhost") -> None:
        self.client: FlaskClient = app.test_client()
        self.base_url = base_url
        self.client.environ_base["REMOTE_ADDR"] = address or new_address()

    def get(self, path: str, **options: Any) -> TestResponse:
        headers = {"Accept": "text/html", **options.pop("headers", {})}
        return self.client.get(path, headers=headers, base_url=self.base_url, **options)

    def post(
        self, path: str, data: dict[str, str] | None = None, *, form: str | None = None, **options: Any
    ) -> TestResponse:
        """Send a form with the token of the page ``form`` (``path`` itself when not named)."""
        token = csrf_of(self.get(form or path))
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        sent = {**(data or {}), "csrf_token": token}
        return self.client.post(path, data=sent, headers=headers, base_url=self.base_url, **options)

    def sign_in(self, login: Login, **fields: str) -> TestResponse:
        return self.post("/login", {"email": login.email, "password": login.password, **fields})

    def cookie(self, name: str = "sigilo") -> str | None:
        found = self.client.get_cookie(name, domain="localhost")
        return None if found is None else found.value


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def make_login(databases: Databases, settings: Settings) -> Callable[..., Login]:
    """Make a user who signs in with a password: ``make_login("DOCTOR", "ADMIN")``."""

    def make(*roles: str, password: str = PASSWORD, **values: Any) -> Login:
        login = Login(f"{secrets.token_hex(8)}@example.org", password)
        with databases.session(Principal.STAFF) as session:
            create_user(
                session, SYSTEM, field_cipher(settings),
                email=login.email, full_name="Ana Moura", roles=roles or ("DOCTOR",), password=password, **values,
            )  # fmt: skip
        return login

    return make


@pytest.fixture
def make_own_app(settings: Settings, databases: Databases) -> Iterator[MakeApp]:
    """Another application over the same database: other settings, or routes of the test's own."""
    made: list[Flask] = []

    def make(routes: Routes | None = None, *, over: Databases | None = None, **overrides: Any) -> Flask:
        groups = GROUPS if routes is None else (*GROUPS, routes)
        own = make_app(settings.model_copy(update=overrides), over or databases, groups=groups)
        made.append(own)
        return own

    yield make
    for app in made:
        app.extensions["sigilo"].close()
