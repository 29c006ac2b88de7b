"""A drill does not fill the disk that it restores on, nor the archive of changes of a server that has one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.job import Connection
from backups.manifest import Manifest
from backups.room import INDEXES, Facts, facts_of, needed_of, refuse_narrow
from config import Settings
from services.backup_standing import STANDING, read_standing
from tests.backups.conftest import back_up, databases_left, silent
from tests.cluster import Server, programs_here, server_folders
from tests.servers import DatabaseServer

ARCHIVES = "archive_mode = on\narchive_command = 'true'\n"


@pytest.fixture
def archiving() -> Iterator[Server]:
    """A server that archives every change, as production's does."""
    programs = programs_here()
    with server_folders(programs.account, "server") as (folder,):
        made = Server(programs, folder)
        try:
            made.make(ARCHIVES)
            made.start()
            yield made
        finally:
            made.end()


def refused(settings: Settings, connection: Connection, manifest: Manifest) -> str:
    with pytest.raises(BackupFailed) as error:
        run_drill(settings, connection, manifest.id, silent)
    row = connection.execute(
        "SELECT d.failure, d.is_damaged, b.state FROM backup_drills d JOIN backups b ON b.id = d.backup_id"
        " ORDER BY d.started_at DESC LIMIT 1"
    ).fetchone()
    assert row == (error.value.detail, False, "DONE"), "nothing is known of the backup"
    standing = read_standing(connection.execute(STANDING).fetchone() or ())
    assert "drill-failed" in standing.alerts and "drill-damaged" not in standing.alerts
    return error.value.detail


def test_no_large_drill_is_made_on_a_server_that_archives_its_changes(
    here: Settings, connection: Connection, archiving: Server
) -> None:
    manifest = back_up(here, connection)
    assert manifest.room > manifest.database.contains
    there = here.model_copy(update={"drill_database_url": type(here.redis_url)(archiving.url("postgres"))})
    strict = there.model_copy(update={"drill_archived_mib": 0})
    said = refused(strict, connection, manifest)
    assert "MiB of WAL, and its server archives every change" in said and "DRILL_DATABASE_URL" in said
    with archiving.connect() as looking:
        before = looking.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert looking.execute("SELECT count(*) FROM pg_database WHERE datname ~ '^sigilo_'").fetchone() == (0,)
        assert run_drill(there, connection, manifest.id, silent)["rows"] == manifest.rows, "a small one is"
        made = looking.execute("SELECT pg_current_wal_lsn() - %s::pg_lsn", before).fetchone()
    assert made is not None and 0 < made[0] < 2 * needed_of(manifest), "about what it was said to need"


def test_what_has_no_room_is_refused_before_it_begins(
    here: Settings, connection: Connection, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = back_up(here, connection)
    assert "DRILL_ROOM_MIB gives 1:" in refused(
        here.model_copy(update={"drill_room_mib": 1}), connection, manifest
    )
    monkeypatch.setattr("backups.room.free_bytes", lambda _: manifest.room)
    owner = here.model_copy(update={"drill_database_url": type(here.redis_url)(server.maintenance_url)})
    assert "a fifth of which stays for others" in refused(owner, connection, manifest)
    assert databases_left(server) == []


def test_how_much_is_free_is_asked_where_the_server_says_so(here: Settings, server: DatabaseServer) -> None:
    from backups.database import connect_server

    with connect_server(server.maintenance_url) as superuser:
        facts = facts_of(superuser)
    assert not facts.is_archived and facts.free is not None and facts.free > 0
    with connect_server(here.database_url_worker.get_secret_value()) as worker:
        assert facts_of(worker).free is None, "it tells nobody else where its data are"


def test_an_older_manifest_is_taken_for_twice_its_dump(here: Settings, connection: Connection) -> None:
    manifest = back_up(here, connection)
    older = Manifest.parse(manifest.text().replace(f'"room":{manifest.room},', ""))
    assert older.room == 0 and needed_of(older) == INDEXES * manifest.database.contains
    refuse_narrow(here, older, Facts(is_archived=True, free=None))
