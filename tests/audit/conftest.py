"""A database whose trail each test has to itself, emptied by a superuser in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal, Settings
from models import Setting
from models.engine import Databases
from models.user import Role
from services.access_rules import RULES, Limits, RuleKey, setting_key
from tests.audit.tampered import EVENTS
from tests.audit.trail import as_superuser, drain_all, write_events
from tests.audit.watched import SetRule
from tests.conftest import make_settings
from tests.factories.cast import Person, make_person
from tests.servers import DatabaseServer

EMPTY = "TRUNCATE audit_trail, audit_outbox, audit_checkpoints, audit_tree_nodes, audit_archives, job_runs"


@pytest.fixture(scope="module")
def trail_database(server: DatabaseServer, template: str) -> Iterator[str]:
    name = server.create(template=template)
    yield name
    server.drop(name)


@pytest.fixture
def superuser(server: DatabaseServer, trail_database: str) -> str:
    """URL of a superuser of the emptied database: somebody whom no grant and no policy stops."""
    url = server.superuser_url(trail_database)
    with as_superuser(url) as connection:
        connection.execute(EMPTY)
    return url


@pytest.fixture
def trail(server: DatabaseServer, trail_database: str, superuser: str) -> Iterator[Databases]:
    """The application's engines on the emptied database."""
    made = Databases(server.urls(trail_database), pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def trail_settings(server: DatabaseServer, trail_database: str, superuser: str, redis_url: str, home: Path) -> Settings:
    return make_settings(server.urls(trail_database), redis_url, home)


@pytest.fixture
def sealed_trail(trail: Databases) -> Databases:
    write_events(trail, EVENTS)
    drain_all(trail, limit=7)
    return trail


@pytest.fixture
def nothing_found_yet(superuser: str) -> None:
    """No unusual access was found, or looked for."""
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE access_alerts, access_alert_digests, access_watch_behind")
        connection.execute("UPDATE access_watch SET sequence = 0")


@pytest.fixture
def doctor(trail: Databases) -> Person:
    return make_person(trail, Role.DOCTOR, "Ana Quintanilha Ramos")


@pytest.fixture
def set_rule(trail: Databases) -> Iterator[SetRule]:
    """Sets the clinic's numbers of a rule, until the test ends."""
    changed: list[str] = []

    def change(key: RuleKey, **values: Any) -> None:
        limits: Limits = replace(RULES[key].limits, **values)
        changed.append(setting_key(key))
        with trail.session(Principal.MIGRATOR) as session:
            session.merge(Setting(key=changed[-1], value=limits.as_json()))

    yield change
    with trail.session(Principal.MIGRATOR) as session:
        session.execute(text("DELETE FROM settings WHERE key = ANY (:keys)"), {"keys": changed})
