"""Readers who are remembered, and what is done to them behind the services' back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from config import Principal
from models import Role
from models.engine import Databases
from models.raw_connection import RawConnection
from services.actor import Actor
from tests.factories.cast import Person, make_person
from tests.web.conftest import Browser

LIST = "/api/medical-records?limit=1"


@pytest.fixture
def doctor(databases: Databases) -> Person:
    """A doctor of the test's own, whose token nobody has looked up yet."""
    return make_person(databases, Role.DOCTOR, "Lia Campos")


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collects the raw statements that are run meanwhile."""
    sent: list[str] = []
    original = RawConnection.first_row

    def noting(self: RawConnection, statement: str, parameters: Any) -> Any:
        sent.append(statement)
        return original(self, statement, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RawConnection, "first_row", noting)
        yield sent


def at_a_browser(person: Person) -> Actor:
    """Administration is done by people, not by tokens."""
    return replace(person.actor, scopes=None, token_id=None)


def read(app: Flask, person: Person, path: str = LIST) -> Any:
    return Browser(app).client.get(path, headers=person.headers)


def remember(app: Flask, person: Person) -> None:
    assert read(app, person).status_code == 200
    assert app.extensions["sigilo"].callers.recall(person.token) is not None


def change(databases: Databases, statement: str, person: Person) -> None:
    """Behind every service's back, as an operator at psql would."""
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text(statement), {"user": person.id, "token": person.token_id})


def events_of(databases: Databases, answer: Any) -> list[str]:
    with databases.session(Principal.WORKER) as session:
        return list(
            session.scalars(
                text("SELECT action || ' ' || outcome FROM audit_outbox WHERE request_id = :id"),
                {"id": answer.headers["X-Request-Id"]},
            )
        )


ENDS = {
    "revoked": "UPDATE api_tokens SET revoked_at = now() WHERE id = :token",
    "expired": "UPDATE api_tokens SET expires_at = now() WHERE id = :token",
    "user disabled": "UPDATE users SET disabled_at = now() WHERE id = :user",
    "role taken": "DELETE FROM user_roles WHERE user_id = :user",
    "token gone": "DELETE FROM api_tokens WHERE id = :token",
}
