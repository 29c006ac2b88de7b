"""What goes wrong while a backup is made: each time a row that says so, nothing half done, and the next run is fine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest

from backups import create, job
from backups.database import locked_server
from backups.drill import run_drill
from backups.dump import dumped
from backups.errors import BackupFailed, Busy
from backups.job import Connection
from backups.run import work_off
from config import Settings
from embedded.process import wait_until
from services.backup_request import INTERRUPTED, WAITING
from services.backup_standing import STANDING, read_standing
from tests.backups.conftest import back_up, databases_left, silent
from tests.backups.processes import begin, environment, kill
from tests.conftest import test_key as key_of
from tests.servers import DatabaseServer


def rows(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT state, origin, failure FROM backups ORDER BY created_at, id").fetchall()


def alerts(connection: Connection) -> list[str]:
    row = connection.execute(STANDING).fetchone()
    assert row is not None
    return read_standing(row).alerts


def files(settings: Settings) -> list[str]:
    folder = settings.sigilo_home / "backups"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def is_fine(settings: Settings, connection: Connection, server: DatabaseServer) -> None:
    """The next run makes a backup, drills it, and nothing is left to see to."""
    manifest = back_up(settings, connection)
    done = work_off(settings, connection)
    assert done.drilled == [manifest.id]
    assert alerts(connection) == [] and databases_left(server) == []
    assert all(str(manifest.id) in name for name in files(settings)), "of what failed nothing is left"


@contextmanager
def small(folder: Path) -> Iterator[None]:
    """Within the block there is room for 64 KiB below ``folder``: a file system of its own, or where none may be
    mounted a limit on the size of files."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k,mode=700", "tmpfs", folder], check=False, capture_output=True
    ).returncode == 0  # fmt: skip
    if mounted:
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_no_space_is_a_failed_row_that_says_so(here: Settings, connection: Connection, server: DatabaseServer) -> None:
    with small(here.sigilo_home / "backups"):
        with pytest.raises(BackupFailed, match=r"No space left|File too large"):
            back_up(here, connection)
        assert files(here) == []
    [(state, _, failure)] = rows(connection)
    assert state == "FAILED" and "store failed" in failure
    assert {"late", "failed"} == set(alerts(connection))
    is_fine(here, connection, server)


def test_a_clock_that_is_wrong_makes_no_backup_and_a_backup_of_the_future_counts_for_nothing(
    here: Settings, connection: Connection, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: time.clock_gettime(time.CLOCK_REALTIME) + 3600)
        with pytest.raises(BackupFailed, match="clock of this machine"):
            back_up(here, connection)
    manifest = back_up(here, connection)
    run_drill(here, connection, manifest.id, silent)
    assert alerts(connection) == []
    connection.execute("UPDATE backups SET finished_at = now() + interval '1 day' WHERE state = 'VERIFIED'")
    assert set(alerts(connection)) == {"late", "clock"}
    connection.execute("UPDATE backups SET finished_at = now() - interval '27 hours' WHERE state = 'VERIFIED'")
    connection.execute("UPDATE backups SET finished_at = now() - interval '28 hours' WHERE state = 'FAILED'")
    assert alerts(connection) == ["late"]


def test_a_server_that_goes_away_in_mid_dump_is_a_failed_row(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = dumped
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:  # more than a pipe holds
        superuser.execute("CREATE TABLE ballast AS SELECT repeat(md5(n::text), 100) FROM generate_series(1, 2000) n")
        superuser.execute("GRANT SELECT ON ballast TO sigilo_backup")

    @contextmanager
    def cut(programs: Path, url: str, snapshot: str) -> Iterator[Any]:
        with original(programs, url, snapshot) as pipe:
            pipe.read(100)
            with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
                superuser.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sigilo pg_dump'"
                )
            yield pipe

    with monkeypatch.context() as patch:
        patch.setattr(create, "dumped", cut)
        with pytest.raises(BackupFailed, match=r"pg_dump ended with 1: the database"):
            back_up(here, connection)
    assert files(here) == []
    is_fine(here, connection, server)


def test_a_table_that_the_backup_role_would_not_see_all_of_stops_the_backup(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str
) -> None:
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("DROP POLICY allergies_backup ON allergies")
        with pytest.raises(BackupFailed, match="would not see every row of allergies"):
            back_up(here, connection)
        superuser.execute("CREATE POLICY allergies_backup ON allergies FOR SELECT TO sigilo_backup USING (true)")
    is_fine(here, connection, server)


def test_what_does_not_open_fails_the_drill(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str
) -> None:
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("TRUNCATE audit_trail, audit_checkpoints")
        superuser.execute("UPDATE patients SET audit_key_cipher = '\\x00112233'")
    manifest = back_up(here, connection)
    with pytest.raises(BackupFailed, match="does not open with FIELD_KEY"):
        run_drill(here, connection, manifest.id, silent)
    assert "drill-failed" in alerts(connection)
    assert databases_left(server) == []


def test_one_works_at_a_time(here: Settings, connection: Connection) -> None:
    with pytest.raises(Busy), job.exclusive(here):
        pass


@pytest.mark.parametrize("program", ["pg_dump", "pg_restore"])
def test_a_process_killed_in_the_middle_leaves_a_clear_row_and_is_made_up_for(
    here: Settings, server: DatabaseServer, clinic: str, tmp_path: Path, program: str
) -> None:
    """The program is made to wait in the middle, so that the kill hits it there."""
    waiting = tmp_path / "programs"
    waiting.mkdir()
    real = Path(here.postgres_programs)
    for name in ("pg_dump", "pg_restore"):
        stop = f'case "$*" in *--version*) ;; *) touch {tmp_path}/there; sleep 600;; esac\n' if name == program else ""
        (waiting / name).write_text(f'#!/bin/sh\n{stop}exec {real / name} "$@"\n')
        (waiting / name).chmod(0o755)
    variables = environment(here) | {"POSTGRES_PROGRAMS": str(waiting)}
    process = begin(variables)
    try:
        assert wait_until(lambda: (tmp_path / "there").exists() or process.poll() is not None, 30)
        assert process.poll() is None
    finally:
        kill(process, here)
    with job.exclusive(here) as connection:
        done = work_off(here, connection)
        found = rows(connection)
        if program == "pg_dump":
            assert found[0] == ("FAILED", "SCHEDULED", INTERRUPTED)
            assert [row[:2] for row in found[1:]] == [("VERIFIED", "AGAIN")] and len(done.made) == 1
        else:
            assert [row[0] for row in found] == ["VERIFIED"] and done.made == []
            drills = connection.execute("SELECT state, failure FROM backup_drills ORDER BY started_at").fetchall()
            assert drills == [("FAILED", INTERRUPTED), ("PASSED", None)]
        assert alerts(connection) == []
    assert databases_left(server) == []
    assert not [name for name in files(here) if name.endswith(".partial")]


def test_an_interrupted_backup_is_made_again_once_and_not_without_end(here: Settings, connection: Connection) -> None:
    job.request(connection, "SCHEDULED")
    for expected in ("SCHEDULED", "AGAIN"):
        claimed = job.claim(connection, here.backup_store)
        assert claimed is not None and claimed.origin == expected
        assert [dead.id for dead in job.bury_dead(connection)] == [claimed.id]
    assert job.claim(connection, here.backup_store) is None
    assert [row[0] for row in rows(connection)] == ["FAILED", "FAILED"]
    assert job.request(connection, "SCHEDULED") is not None and job.request(connection, "COMMAND") is None


def test_no_key_of_the_clinic_no_backup_in_production(
    here: Settings, connection: Connection, recovery: pyrage.x25519.Identity
) -> None:
    without = here.model_copy(update={"backup_age_recipient": ""})
    with pytest.raises(BackupFailed, match="BACKUP_AGE_RECIPIENT is not set"):
        back_up(without.model_copy(update={"sigilo_env": "production"}), connection)
    manifest = back_up(without, connection)
    assert manifest.recovery == "" and manifest.part("keys") is None


def test_a_drill_that_can_not_be_made_leaves_a_good_backup_what_it_was(here: Settings, connection: Connection) -> None:
    """What is not verified is deleted in its turn, so a key that is not here must not make it so. Each attempt is a
    row, and none waits to be made for ever."""
    manifest = back_up(here, connection)
    other_signer = here.model_copy(update={"audit_signing_key": type(here.redis_url)(key_of("another"))})
    with pytest.raises(BackupFailed, match="not signed by a key that is trusted"):
        run_drill(other_signer, connection, manifest.id, silent)
    assert connection.execute(f"SELECT {WAITING}").fetchone() == (False,)
    run_drill(here, connection, manifest.id, silent)
    with pytest.raises(BackupFailed, match="does not open this backup"):
        run_drill(here, connection, manifest.id, silent, identity=str(pyrage.x25519.Identity.generate()))
    drills = connection.execute("SELECT state FROM backup_drills ORDER BY started_at").fetchall()
    assert drills == [("FAILED",), ("PASSED",), ("FAILED",)]
    assert [row[0] for row in rows(connection)] == ["VERIFIED"]


def test_a_drill_waits_for_that_of_another_installation_on_the_same_server(server: DatabaseServer) -> None:
    with locked_server(server.maintenance_url), pytest.raises(Busy), locked_server(server.maintenance_url):
        pass
    with locked_server(server.maintenance_url):
        pass
