"""Drills where each role logs in by itself, as ``make run`` has it and production may: no superuser is near."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from backups import job
from backups.drill import run_drill
from config import Principal, Settings
from config_urls import with_database
from tests.backups.conftest import back_up, databases_left, silent
from tests.servers import DatabaseServer

pytestmark = pytest.mark.database
PASSWORD = "of-the-tests-alone"


def test_a_drill_needs_no_superuser(here: Settings, server: DatabaseServer, clinic: str) -> None:
    with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
        for principal in Principal:
            role = sql.Identifier(principal.role)
            superuser.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(PASSWORD)))
        url = with_database(server.maintenance_url, clinic)
        secret = type(here.redis_url)
        urls = {}
        for principal in Principal:
            address = url.split("@", 1)[1]
            urls[f"database_url_{principal.value}"] = secret(f"postgresql://{principal.role}:{PASSWORD}@{address}")
        there = here.model_copy(update=urls)
        try:
            with job.exclusive(there) as connection:
                manifest = back_up(there, connection)
                assert run_drill(there, connection, manifest.id, silent)["rows"] == sum(manifest.tables.values())
        finally:
            for principal in Principal:
                role = sql.Identifier(principal.role)
                superuser.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(role))
    assert databases_left(server) == []
