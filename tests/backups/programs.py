"""The client programs of the server that the tests run on."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg

from embedded.wheel_programs import postgres_programs
from tests.servers import DatabaseServer


def server_programs(server: DatabaseServer) -> Path:
    """Of the wheel's server the wheel's, of an installed one those beside it, of a named one Debian's."""
    installed = os.environ.get("TEST_POSTGRES_PROGRAMS")
    if installed:
        return Path(installed)
    if os.environ.get("TEST_DATABASE_URL"):
        with psycopg.connect(server.maintenance_url) as connection:
            return Path(f"/usr/lib/postgresql/{connection.info.server_version // 10_000}/bin")
    return postgres_programs()
