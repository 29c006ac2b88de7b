"""Point-in-time recovery as production does it: its PostgreSQL 15, its pgBackRest and their own configuration files,
but the archive lies in a folder in place of a bucket.

A table is dropped and comes back as it was the second before; the machine is lost, and at most the last minute with it.
``make drill`` runs it, for its minutes of waiting; what it measured stands at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path
from typing import Any

import psycopg
import pytest

from embedded.process import wait_until
from services.base_backups import BASES, BaseBackups, read_bases
from services.wal_archive import ARCHIVE, WalArchive, read_archive
from tests.cluster import LOGIN, PASSWORD, Programs, Server, production_programs, server_folders
from tests.factories.certificate import make_certificate
from tests.servers import DatabaseServer

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "postgres"
RPO = timedelta(seconds=60)
SECRET = "Hipertensão arterial sistêmica"  # what no archive shows
# The drill's machine is smaller than production's and keeps its servers apart; all else is production's.
SMALLER = """
listen_addresses = '127.0.0.1'
shared_buffers = 64MB
shared_preload_libraries = ''
hba_file = '{data}/pg_hba.conf'
ident_file = '{data}/pg_ident.conf'
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
"""
# Over the socket the drill's login is not its account's name, as production's is; that account's is another one too.
LOCAL = f"local all {LOGIN} scram-sha-256\n"


class Archived:
    """A server whose WAL goes into an archive, as production's configuration says."""

    def __init__(
        self, programs: Programs, folder: Path, archive: Path, secret_lines: str = "", **instead: str
    ) -> None:
        """``secret_lines`` and ``instead``: where else than in a folder the archive is."""
        self._programs = programs
        self.archive = archive
        self.database = ""
        configuration = archive / "pgbackrest.conf"
        configuration.write_text((DEPLOY / "pgbackrest.conf").read_text())
        configuration.chmod(0o644)
        # What is secret stands in a file beside it that the account alone reads, as production has it mounted.
        secrets = archive / "conf.d" / "secrets.conf"
        secrets.parent.mkdir(mode=0o755)
        secrets.write_text("[global]\nrepo1-cipher-pass=the passphrase of a drill\n" + secret_lines)
        secrets.chmod(0o600)
        if programs.account is not None:
            os.chown(secrets, programs.account.uid, programs.account.gid)
        # pgBackRest takes what differs from its file from variables, which is how production gives it the bucket.
        self._environment = {
            "PGBACKREST_CONFIG": str(configuration),
            "PGBACKREST_CONFIG_INCLUDE_PATH": str(secrets.parent),
            "PGBACKREST_REPO1_TYPE": "posix",
            "PGBACKREST_REPO1_PATH": str(archive / "repository"),
            "PGBACKREST_SPOOL_PATH": str(archive / "spool"),
            "PGBACKREST_LOCK_PATH": str(archive / "lock"),
            "PGBACKREST_PG1_PATH": str(folder / "data"),
            "PGBACKREST_PG1_SOCKET_PATH": str(folder),
            "PGBACKREST_PG1_USER": LOGIN,
            "PGPASSWORD": PASSWORD,
        } | instead
        self.server = Server(programs, folder, **self._environment)
        self._environment["PGBACKREST_PG1_PORT"] = str(self.server.port)

    def begin(self) -> None:
        hba = LOCAL + (DEPLOY / "pg_hba.conf").read_text()
        self.server.make((DEPLOY / "postgresql.conf").read_text() + SMALLER.format(data=self.server.data), hba)
        private, certificate = make_certificate()
        account = self._programs.account.name if self._programs.account else getuser()
        ident = (DEPLOY / "pg_ident.conf").read_text()
        self.server.write("pg_ident.conf", ident.replace("postgres  ", f"{account}  "))
        self.server.write("server.key", private)
        self.server.write("server.crt", certificate)
        self.server.start()
        self.base_backup()

    def pgbackrest(self, *arguments: str) -> str:
        return self._programs.run(
            shutil.which("pgbackrest") or "pgbackrest", "--stanza=sigilo", "--log-level-console=warn", *arguments,
            **self._environment,
        )  # fmt: skip

    def base_backup(self, **instead: str) -> None:
        self._programs.run("/bin/sh", "-c", (DEPLOY / "base-backup").read_text(), **(self._environment | instead))

    def keep(self, **instead: str) -> BaseBackups:
        """Look after it once, as the machine does every few minutes; gives what the clinic's database is told."""
        tools = self.archive / "tools"
        if not tools.exists():
            shutil.copytree(DEPLOY, tools)
            self.database = DatabaseServer(self.server.url("postgres")).create()
        reached = {
            "SIGILO_DATABASE": self.database, "PGHOST": str(self.server.sockets), "PGPORT": str(self.server.port),
            "PATH": f"{tools}:/usr/bin:/bin",
        }  # fmt: skip
        self._programs.run(tools / "keep-archive", **(self._environment | reached | instead))
        with self.server.connect(self.database) as connection:
            found = read_bases(connection.execute(BASES).fetchone() or ())
        assert found is not None
        return found

    def backups(self) -> list[str]:
        """The type of each, oldest first."""
        (stanza,) = json.loads(self.pgbackrest("--output=json", "info"))
        return [each["type"] for each in stanza["backup"]]

    def recover(self, *target: str) -> float:
        """Restore and start, then a base backup; gives the seconds until it takes writes, which a clinic would wait.

        Without the backup (or any other checkpoint) a server that has recovered to a point in time does not look at
        ``archive_timeout`` for up to five minutes: seen with PostgreSQL 15, whose checkpointer went to sleep in the
        recovery.
        """
        started = time.monotonic()
        self.pgbackrest("restore", "--delta", *target)
        self.server.start()
        with self.server.connect() as connection:
            statement = "SELECT pg_is_in_recovery()"
            assert wait_until(lambda: connection.execute(statement).fetchone() == (False,), 60)
        seconds = time.monotonic() - started
        self.base_backup()
        return seconds


@pytest.fixture(scope="module")
def archived() -> Iterator[Archived]:
    programs = production_programs()
    with server_folders(programs.account, "server", "archive") as (folder, archive):
        made = Archived(programs, folder, archive)
        try:
            made.begin()
            yield made
        finally:
            made.server.end()


@contextmanager
def writing(server: Server, table: str) -> Iterator[None]:
    """Somebody writes the time, twenty times a second, each a transaction of its own; until the server dies, or the end
    of the block."""
    with server.connect() as connection:
        connection.execute(f"CREATE TABLE {table} (at timestamptz PRIMARY KEY, what text)")
    stop = threading.Event()

    def work() -> None:
        try:
            with server.connect() as connection:
                while not stop.wait(0.05):
                    connection.execute(f"INSERT INTO {table} VALUES (clock_timestamp(), %s)", (SECRET,))
        except psycopg.OperationalError:
            return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def times(server: Server, table: str) -> list[datetime]:
    with server.connect() as connection:
        return [row[0] for row in connection.execute(f"SELECT at FROM {table} ORDER BY at").fetchall()]


def count(server: Server, table: str) -> int:
    return len(times(server, table))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def test_nobody_speaks_to_it_in_the_clear(archived: Archived) -> None:
    with archived.server.connect() as connection:
        assert connection.pgconn.ssl_in_use
        wrong = "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL"
        assert connection.execute(wrong).fetchall() == []
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(archived.server.url("postgres"), sslmode="disable")


def test_an_archive_that_does_not_answer_gets_no_backup(archived: Archived) -> None:
    """A full one would push an older one out."""
    before = archived.backups()
    with pytest.raises(AssertionError, match="can't be asked"):
        archived.base_backup(PGBACKREST_REPO1_CIPHER_PASS="another one")
    assert archived.backups() == before


def test_an_archive_that_fails_is_late_and_one_that_works_is_not(archived: Archived) -> None:
    server = archived.server
    with server.connect() as connection:
        assert wait_until(lambda: not standing(connection).is_late, 30)
        blocked = archived.archive / "repository" / "archive"
        aside = blocked.with_name("aside")
        blocked.rename(aside)
        try:
            connection.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
            connection.execute("SELECT pg_switch_wal()")
            assert wait_until(lambda: standing(connection).is_failing, 60)
            assert standing(connection).is_late
        finally:
            shutil.rmtree(blocked, ignore_errors=True)
            aside.rename(blocked)
        assert wait_until(lambda: not standing(connection).is_late, 120)
        connection.execute("DROP TABLE filler")


def standing(connection: psycopg.Connection[Any]) -> WalArchive:
    found = read_archive(connection.execute(ARCHIVE).fetchone())
    assert found is not None
    return found


def test_backups_are_full_once_a_week_and_differential_else(archived: Archived) -> None:
    assert archived.backups() == ["full"]
    archived.base_backup()
    assert archived.backups() == ["full", "diff"]
    archived.pgbackrest("check")


def test_a_base_backup_is_made_once_a_day_and_the_database_is_told(archived: Archived) -> None:
    before = archived.backups()
    found = archived.keep()
    assert archived.backups() == before and found.alerts == []
    found = archived.keep(BASE_BACKUP_AT=f"{datetime.now(UTC):%H:%M:%S}")
    assert archived.backups() == [*before, "diff"]
    assert found.alerts == [] and found.full_at is not None and found.differential_at is not None
    assert found.full_at < found.differential_at and (found.age(found.differential_at) or 0) < 60


def test_changes_that_were_dropped_are_missed(archived: Archived) -> None:
    """More waits than may, so pgBackRest drops it and tells PostgreSQL that it is archived."""
    configuration = archived.archive / "pgbackrest.conf"
    as_it_was = configuration.read_text()
    blocked = archived.archive / "repository" / "archive"
    aside = blocked.with_name("aside")
    with archived.server.connect() as connection:
        assert wait_until(lambda: not standing(connection).is_failing, 60)
        blocked.rename(aside)
        configuration.write_text(as_it_was.replace("archive-push-queue-max=8GiB", "archive-push-queue-max=32MiB"))
        try:
            for number in range(4):
                connection.execute(f"CREATE TABLE filler{number} (x int)")
                connection.execute("SELECT pg_switch_wal()")
            assert wait_until(lambda: dropped(connection), 120)
        finally:
            shutil.rmtree(blocked, ignore_errors=True)
            aside.rename(blocked)
            configuration.write_text(as_it_was)
        assert not standing(connection).is_late, "PostgreSQL knows nothing of it"
    found = archived.keep()
    assert found.missing >= 1 and found.alerts == ["gap"]
    archived.base_backup()
    assert archived.keep().alerts == []


def dropped(connection: psycopg.Connection[Any]) -> bool:
    """Whether all but what is being written counts as archived."""
    row = connection.execute(
        "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 16 * 1024 * 1024 * 2) FROM pg_stat_archiver"
    ).fetchone()
    return row == (True,)


def test_a_dropped_table_is_there_as_it_was_the_second_before(archived: Archived) -> None:
    server = archived.server
    with writing(server, "dropped"):
        assert wait_until(lambda: count(server, "dropped") > 40, 60)
        before = datetime.now(UTC)
        assert wait_until(lambda: count(server, "dropped") > 60, 60)
    wanted = [at for at in times(server, "dropped") if at <= before]
    with server.connect() as connection:
        connection.execute("DROP TABLE dropped")
        connection.execute("SELECT pg_switch_wal()")  # what an operator does who can't wait for the minute
    server.end()
    seconds = archived.recover("--type=time", f"--target={before.isoformat(' ')}", "--target-action=promote")
    assert times(server, "dropped") == wanted
    with server.connect() as connection:
        connection.execute("INSERT INTO dropped VALUES (clock_timestamp(), 'it goes on')")
    say(f"a dropped table: {len(wanted)} rows of the second before, back after {seconds:.1f} s")


def test_a_lost_machine_loses_a_minute_at_most(archived: Archived) -> None:
    """Its disk is gone, and nobody had the time to do anything about it."""
    server = archived.server
    with writing(server, "lost"):
        begun = time.monotonic()
        assert wait_until(lambda: time.monotonic() - begun > RPO.total_seconds() * 1.5, 120)
        written = times(server, "lost")
        server.kill()
    shutil.rmtree(server.data)
    seconds = archived.recover()
    found = times(server, "lost")
    assert found == written[: len(found)], "what came back is what was written, without a hole"
    lost = written[-1] - (found[-1] if found else written[0])
    say(f"a lost machine: {lost.total_seconds():.1f} s of writing lost, back after {seconds:.1f} s")
    assert lost <= RPO


def test_nothing_in_the_archive_is_in_the_clear(archived: Archived) -> None:
    files = [path for path in (archived.archive / "repository").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    archived.pgbackrest("verify")
