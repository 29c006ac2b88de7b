"""Who can open what: drill keys are made, private, rotated and destroyed; passwords are seen by nobody."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil
import pyrage
import pytest

from backups import keys
from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.job import Connection
from backups.programs import programs_of, running
from config import Principal, Settings
from embedded.process import wait_until
from tests.backups.conftest import back_up, silent


def test_the_drill_key_is_private_and_stays_until_its_time_is_over(here: Settings, connection: Connection) -> None:
    first = keys.drill_recipient(connection, here)
    assert keys.renew(connection, here) == keys.drill_recipient(connection, here) == first
    [path] = here.drill_key_folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(here.drill_key_folder.stat().st_mode) == 0o700
    connection.execute("UPDATE backup_keys SET created_at = now() - interval '91 days'")
    second = keys.renew(connection, here)
    assert keys.drill_recipient(connection, here) == second != first
    path.unlink()
    (here.drill_key_folder / f"{second}.key").unlink()  # the database was restored onto another machine
    assert keys.renew(connection, here) not in (first, second)


def test_a_rotated_key_goes_when_no_drill_waits_for_it_and_opens_nothing_new(
    here: Settings, connection: Connection, recovery: pyrage.x25519.Identity
) -> None:
    manifest = back_up(here, connection)
    keys.rotate(connection, here)
    assert keys.destroy_retired(connection, here) == 0, "a drill waits for it"
    run_drill(here, connection, manifest.id, silent)
    assert [path.stem for path in here.drill_key_folder.iterdir()] != [manifest.drill]
    row = connection.execute(
        "SELECT destroyed_at IS NOT NULL FROM backup_keys WHERE recipient = %s", [manifest.drill]
    ).fetchone()
    assert row == (True,)
    with pytest.raises(BackupFailed, match="--identity FILE"):
        run_drill(here, connection, manifest.id, silent)
    run_drill(here, connection, manifest.id, silent, identity=str(recovery))


def test_a_backup_needs_no_private_key(here: Settings, connection: Connection) -> None:
    keys.drill_recipient(connection, here)
    [path] = here.drill_key_folder.iterdir()
    path.unlink()
    here.drill_key_folder.rmdir()
    connection.execute("UPDATE backup_keys SET created_at = now() - interval '91 days'")
    assert back_up(here, connection).drill == path.stem
    assert not here.drill_key_folder.exists(), "none is made where drills are not"
    known = connection.execute("SELECT recipient, retired_at FROM backup_keys").fetchall()
    assert known == [(path.stem, None)]


def test_programs_of_another_version_are_refused(here: Settings) -> None:
    with pytest.raises(BackupFailed, match="postgresql-client-99"):
        programs_of(here, 99)


def test_a_password_is_neither_in_arguments_nor_in_an_environment_nor_on_a_disk(tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\nenv >> {tmp_path}/said\ncat\n')
    program.chmod(0o755)
    url = "postgresql://sigilo_backup:a%3Asecret@127.0.0.1/x?options=-c%20role%3Dy"
    with running(program, ["--more"], url, reads=True) as (process, pipe):
        pipe.write(b"x")
        child = psutil.Process(process.pid)
        assert wait_until(lambda: "--more" in child.cmdline(), 10), "it is the program by now"
        passfile = next(part for part in " ".join(child.cmdline()).split() if "passfile=" in part).split("=")[-1]
        descriptor = passfile.rsplit("/", 1)[-1]
        link = Path(f"/proc/{process.pid}/fd/{descriptor}")
        assert link.read_text() == "*:*:*:*:a\\:secret\n" and "memfd" in os.readlink(link)
        assert "secret" not in " ".join(child.cmdline())
        pipe.close()
    assert "secret" not in (tmp_path / "said").read_text() and "--more" in (tmp_path / "said").read_text()


def test_a_program_notices_a_server_that_is_gone(tmp_path: Path) -> None:
    """But in its own time, where its URL says one."""
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    with running(program, [], "postgresql://127.0.0.1/x?keepalives_count=3", reads=False):
        pass
    said = (tmp_path / "said").read_text()
    assert "keepalives_idle=20" in said and "keepalives_count=3" in said


def test_what_a_program_says_of_a_row_is_not_repeated(here: Settings, tmp_path: Path) -> None:
    program = tmp_path / "pg_restore"
    program.write_text('#!/bin/sh\necho "COPY medical_records, line 7: Hipertensão" >&2\nexit 1\n')
    program.chmod(0o755)
    with pytest.raises(BackupFailed) as raised, running(program, [], here.url_for(Principal.BACKUP), reads=True):
        pass
    assert "Hipertensão" not in str(raised.value) and "ended with 1" in str(raised.value)
