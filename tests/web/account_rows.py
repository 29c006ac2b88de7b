"""What the tables say of accounts and sessions, and a hand that changes it, for tests of signing in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from config import Principal
from models.engine import Databases
from tests.web.conftest import Login

MakeLogin = Callable[..., Login]


def rows(databases: Databases, statement: str, **values: Any) -> list[Any]:
    with databases.session(Principal.MIGRATOR) as session:
        return list(session.execute(text(statement), values))


def change(databases: Databases, statement: str, **values: Any) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text(statement), values)


def events_of(databases: Databases, email: str) -> list[tuple[str, str]]:
    with databases.session(Principal.WORKER) as session:
        found = session.execute(
            text(
                "SELECT action, outcome FROM audit_outbox WHERE entity_id = (SELECT id FROM users WHERE email = :e) "
                "ORDER BY id"
            ),
            {"e": email},
        )
        return [(row.action, row.outcome) for row in found]
