"""Records to look at, and browsers of people signed in, for the tests of the record pages."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Iterable
from typing import Any

from flask import Flask

from config import Principal, Settings
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.factories.browser_session import open_session
from tests.factories.cast import Person
from tests.web.conftest import Browser

CLINICAL = {"diagnosis": "Hipertensão essencial", "treatment": "Losartana 50 mg", "notes": "Nega cefaleia"}
SECRETS = ("Hipertensão essencial", "Losartana 50 mg", "Nega cefaleia", "I10")


def write(databases: Databases, settings: Settings, person: Person, patient_id: uuid.UUID, **content: Any) -> uuid.UUID:
    """A record by ``person``; ``amends_id`` makes it an addendum. Gives its id."""
    return write_all(databases, settings, person, patient_id, [content])[0]


def write_all(
    databases: Databases, settings: Settings, person: Person, patient_id: uuid.UUID, contents: Iterable[dict[str, Any]]
) -> list[uuid.UUID]:
    """The same for many, in one transaction."""
    cipher, ids = field_cipher(settings), []
    with databases.session(Principal.STAFF) as session:
        for content in contents:
            beside = {name: content.get(name) for name in ("amends_id", "visit_id")}
            fields = {name: value for name, value in content.items() if name not in beside}
            new = NewRecord(patient_id, {"title": "Consulta de rotina"} | fields, **beside)
            ids.append(create_record(session, person.actor, cipher, new).record.id)
    return ids


def browser_of(app: Flask, databases: Databases, person: Person) -> Browser:
    """A browser in which ``person`` is signed in."""
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, person), domain="localhost")
    return browser


def records_in(page: str) -> list[str]:
    """The ids of the records that a list links to, in its order."""
    return re.findall(r'<span class="what"><a href="/medical-records/([0-9a-f-]{36})', page)


def text_of(page: str) -> str:
    """What a reader reads: without tags, spaces as one."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
