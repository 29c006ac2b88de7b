"""A database whose trail each test has to itself, emptied by a superuser in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Settings
from models.engine import Databases
from tests.audit.tampered import EVENTS
from tests.audit.trail import as_superuser, drain_all, write_events
from tests.conftest import make_settings
from tests.servers import DatabaseServer


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
        connection.execute("TRUNCATE audit_trail, audit_outbox, audit_checkpoints, audit_tree_nodes, job_runs")
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
