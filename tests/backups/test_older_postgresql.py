"""A clinic that PostgreSQL 16 made is backed up by it, and comes back in the newest (ADR 36)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyrage
import pytest

from backups import job
from backups.find import find_backup, trusted
from backups.restore import restore_backup
from backups.run import work_off
from config import Principal, Settings
from embedded.home import Home
from embedded.postgres import PostgresServer
from embedded.wheel_programs import postgres_programs
from models.engine import Databases
from services.demo_seed import seed
from tests.audit.trail import drain_all
from tests.backups.conftest import silent
from tests.backups.programs import server_programs
from tests.cluster import brought_programs
from tests.conftest import make_settings
from tests.servers import DatabaseServer


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    home, programs = Home(tmp_path_factory.mktemp("older")), brought_programs("16").folder
    server = PostgresServer(home, durable=False, programs=programs)
    try:
        server.start()
        yield DatabaseServer(server.maintenance_url)
    finally:
        server.destroy()


@pytest.fixture
def there(
    older: DatabaseServer, server: DatabaseServer, redis_url: str, tmp_path: Path, recovery: pyrage.x25519.Identity
) -> Settings:
    """The installation over it, with a clinic; the programs of either are at hand, as ``make run`` has it."""
    urls = older.urls(older.create())
    programs = os.pathsep.join(map(str, (postgres_programs("16"), server_programs(server))))
    settings = make_settings(
        urls, redis_url, tmp_path / "home", backup_age_recipient=str(recovery.to_public()), postgres_programs=programs
    )
    seed(settings, patients=6, records=30, progress=None)
    made = Databases(urls, pool_size=2)
    drain_all(made)
    made.dispose()
    return settings


@pytest.mark.parametrize("drilled_by", ["16", "the newest"])
def test_it_is_drilled_by_either_and_restored_into_the_newest(
    there: Settings, server: DatabaseServer, gone: str, recovery: pyrage.x25519.Identity, drilled_by: str
) -> None:
    own = "" if drilled_by == "16" else server.maintenance_url
    here = there.model_copy(update={"drill_database_url": type(there.redis_url)(own)})
    with job.exclusive(here) as connection:
        job.request(connection, "COMMAND")
        done = work_off(here, connection)
        drills = connection.execute("SELECT state, failure FROM backup_drills").fetchall()
    assert (len(done.made), drills) == (1, [("PASSED", None)])
    found = find_backup(here, "latest", trusted(here, ()))
    assert found.manifest.server // 10_000 == 16
    restored = restore_backup(
        here, found, server.superuser_url(gone), identity=str(recovery),
        replace=False, progress=silent, say=lambda _text: None,
    )  # fmt: skip
    assert restored.remarks == []
    counts = []
    for url in (there.url_for(Principal.WORKER), server.superuser_url(gone)):
        with psycopg.connect(url) as asked:
            counts.append(asked.execute("SELECT count(*), max(sequence) FROM audit_trail").fetchone())
    assert counts[0] == counts[1]
