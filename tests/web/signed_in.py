"""A browser at which somebody is signed in already."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text, update

from config import Principal
from models import Session as SessionRow
from models.engine import Databases
from services.authenticate import secret_hash
from tests.factories.browser_session import open_session
from tests.factories.cast import Person
from tests.web.conftest import Browser


def signed_in(app: Flask, databases: Databases, person: Person, *, is_sure: bool = False) -> Browser:
    """``is_sure``: they typed their password again a moment ago."""
    browser = Browser(app)
    secret = open_session(databases, person)
    browser.client.set_cookie("sigilo", secret)
    if is_sure:
        with databases.session(Principal.ANONYMOUS) as session:
            its_row = update(SessionRow).where(SessionRow.secret_hash == secret_hash(secret))
            session.execute(its_row.values(stepped_up_at=text("now()")))
    return browser
