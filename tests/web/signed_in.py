"""A browser at which somebody is signed in already."""

from __future__ import annotations

from flask import Flask

from models.engine import Databases
from tests.factories.browser_session import open_session
from tests.factories.cast import Person
from tests.web.conftest import Browser


def signed_in(app: Flask, databases: Databases, person: Person) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, person))
    return browser
