"""The embedded PostgreSQL: closed to others, recovering, and gone when it should be."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from embedded.errors import EmbeddedError
from embedded.home import Home
from embedded.installation import installation_environment
from embedded.postgres import FORGETFUL, PostgresServer
from embedded.process import is_alive, processes_in, wait_until
from embedded.secrets import SUPERUSER, SUPERUSER_PASSWORD, SecretsFolder
from embedded.system_account import SYSTEM_FOLDER
from embedded.wheel_programs import NEWEST
from tests.cluster import brought_programs
from tests.embedded.conftest import MakePostgres

ROOT = Path(__file__).resolve().parent.parent.parent
# Starts the server of the home in argv and waits: to be killed.
PARENT = """
import sys, time
from pathlib import Path
from embedded.home import Home
from embedded.postgres import PostgresServer
server = PostgresServer(Home(Path(sys.argv[1])), durable=False)
server.start()
print(server.process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for tests that only look at it."""
    server = PostgresServer(Home(tmp_path_factory.mktemp("pg") / "var"), durable=False)
    server.start()
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server with data, not running, that each test leaves so; the last one breaks it."""
    server = PostgresServer(Home(tmp_path_factory.mktemp("pg") / "var"), durable=False)
    server.start()
    server.stop()
    yield server
    server.destroy()


def ask(url: str, statement: str) -> tuple[object, ...]:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row


def run_statement(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement)


def processes_of(server: PostgresServer) -> list[int]:
    return processes_in(server.data, "postgres")


def modes_above(*paths: Path) -> dict[Path, int]:
    """Mode of every folder from the given ones up to the root."""
    folders = {folder for path in paths for folder in (path, *path.parents) if folder.exists()}
    return {folder: stat.S_IMODE(folder.stat().st_mode) for folder in folders}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"), ("TimeZone", "UTC"), ("data_checksums", "on"), ("listen_addresses", ""),
        ("password_encryption", "scram-sha-256"), ("unix_socket_permissions", "0700"),
        ("log_min_error_statement", "panic"), ("log_error_verbosity", "terse"), *FORGETFUL.items(),
    ],
)  # fmt: skip
def test_settings_in_force(running: PostgresServer, setting: str, value: str) -> None:
    assert ask(running.maintenance_url, f"SHOW {setting}") == (value,)


def test_sorting_is_by_code_point(running: PostgresServer) -> None:
    found = ask(running.maintenance_url, "SELECT datcollate, datctype FROM pg_database WHERE datname = 'postgres'")
    assert found == ("C", "C")


def test_nobody_is_trusted(running: PostgresServer) -> None:
    assert ask(
        running.maintenance_url, "SELECT array_agg(DISTINCT type || ' ' || auth_method) FROM pg_hba_file_rules"
    ) == (["local scram-sha-256"],)
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            ask(running.url(SUPERUSER, password, database="postgres"), "SELECT 1")


def test_data_socket_and_password_are_closed_to_others(running: PostgresServer) -> None:
    sockets = Path(str(psycopg.conninfo.conninfo_to_dict(running.maintenance_url)["host"]))
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(running.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(running.log.stat().st_mode) == 0o600
    assert not (running.data.parent / "initdb-password").exists()


def test_server_runs_as_who_started_it_or_as_its_own_account(running: PostgresServer) -> None:
    assert running.process is not None
    owner = Path(f"/proc/{running.process.pid}").stat().st_uid
    assert owner == running.data.stat().st_uid
    if os.geteuid() == 0:
        assert owner != 0
        assert running.data.parent.parent == SYSTEM_FOLDER
    else:
        assert owner == os.geteuid()


def test_failed_statement_leaves_no_value_in_the_log(running: PostgresServer) -> None:
    run_statement(running.maintenance_url, "CREATE TABLE people (name text UNIQUE)")
    with psycopg.connect(running.maintenance_url, autocommit=True) as connection:
        for _ in range(2):
            last = None
            try:
                connection.execute("INSERT INTO people VALUES (%s)", ("Conceição Secreta",))
            except psycopg.errors.UniqueViolation as error:
                last = error
        assert last is not None
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute("SELECT secreta FROM people WHERE name = 'Conceição Secreta'")
    assert "Conceição" not in running.log.read_text()


def test_permissions_outside_stay_below_a_closed_home(tmp_path: Path, make_postgres: MakePostgres) -> None:
    closed = tmp_path / "closed"
    clone = closed / "clone"
    clone.mkdir(parents=True)
    closed.chmod(0o700)
    home = Home(clone / "var")
    programs = Path(sys.prefix)
    before = modes_above(clone, programs, SYSTEM_FOLDER.parent)
    server = make_postgres(home)
    server.start()
    assert ask(server.maintenance_url, "SELECT 1") == (1,)
    server.stop()
    assert modes_above(clone, programs, SYSTEM_FOLDER.parent) == before
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        system_folder = home.postgres.resolve()
        assert stat.S_IMODE(SYSTEM_FOLDER.stat().st_mode) == 0o711
        assert stat.S_IMODE(system_folder.stat().st_mode) == 0o710
        assert {path.owner() for path in system_folder.iterdir() if path.is_file()} == {"root"}


def test_restart_keeps_data(own_home: Home, make_postgres: MakePostgres) -> None:
    server = make_postgres(own_home)
    server.start()
    run_statement(server.maintenance_url, "CREATE TABLE kept AS SELECT 7 AS answer")
    assert server.stop()
    assert processes_of(server) == []
    again = make_postgres(own_home)
    again.start()
    assert ask(again.maintenance_url, "SELECT answer FROM kept") == (7,)


def test_kill_of_the_server_is_recovered_from(own_home: Home, make_postgres: MakePostgres) -> None:
    server = make_postgres(own_home, durable=True)
    server.start()
    assert server.process is not None
    run_statement(server.maintenance_url, "CREATE TABLE kept AS SELECT 7 AS answer")
    server.process.kill()
    server.process.wait()
    assert (server.data / "postmaster.pid").exists()
    server.start()
    assert ask(server.maintenance_url, "SELECT answer FROM kept") == (7,)


def test_kill_of_the_parent_takes_the_server_along(own_home: Home, make_postgres: MakePostgres) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(own_home.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    server = make_postgres(own_home)
    assert wait_until(lambda: not is_alive(pid) and processes_of(server) == [], 10)


def test_server_that_outlived_its_parent_is_stopped_before_the_next(
    own_home: Home, make_postgres: MakePostgres
) -> None:
    first = make_postgres(own_home)
    first.start()
    assert first.process is not None
    run_statement(first.maintenance_url, "CREATE TABLE kept AS SELECT 7 AS answer")
    second = make_postgres(own_home)
    second.start()
    assert second.process is not None
    assert first.process.wait(10) == 0  # a clean stop
    assert ask(second.maintenance_url, "SELECT answer FROM kept") == (7,)
    assert second.process.pid in processes_of(second)


def test_pid_file_naming_another_process_does_not_stop_the_start(stopped: PostgresServer) -> None:
    file = stopped.data / "postmaster.pid"
    file.write_text(f"{os.getpid()}\n{stopped.data}\n1700000000\n5432\n\n\n  12345\n")
    os.chown(file, stopped.data.stat().st_uid, stopped.data.stat().st_gid)
    stopped.start()
    assert ask(stopped.maintenance_url, "SELECT 1") == (1,)
    stopped.stop()


def test_data_of_another_version_is_refused(stopped: PostgresServer) -> None:
    file = stopped.data / "PG_VERSION"
    version = file.read_text()
    file.write_text("13\n")
    with pytest.raises(EmbeddedError, match="PostgreSQL 13's and this Sigilo brings 18 and 16"):
        stopped.start()
    file.write_text("")
    with pytest.raises(EmbeddedError, match="damaged"):
        stopped.start()
    file.write_text(version)


def test_new_data_is_made_by_the_newest_postgresql(running: PostgresServer) -> None:
    assert running.version == NEWEST
    assert ask(running.maintenance_url, "SELECT current_setting('server_version_num')::int / 10000") == (int(NEWEST),)


def test_data_of_the_older_postgresql_keeps_it(own_home: Home, make_postgres: MakePostgres) -> None:
    """As an installation that was made when 16 was all that the wheel was used for."""
    older = make_postgres(own_home, programs=brought_programs("16").folder)
    older.start()
    run_statement(older.maintenance_url, "CREATE TABLE kept AS SELECT 7 AS answer")
    older.stop()
    server = make_postgres(own_home)
    server.start()
    asked = "SELECT answer, current_setting('server_version_num')::int / 10000 FROM kept"
    assert ask(server.maintenance_url, asked) == (7, 16)
    # Dumped by its own version: what a newer pg_dump writes does not restore cleanly into it.
    found = installation_environment(own_home, {}, port=0, postgres=server, redis=None)
    said = [
        subprocess.run([Path(folder) / "pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
        for folder in found["POSTGRES_PROGRAMS"].split(os.pathsep)
    ]
    assert ["(PostgreSQL) 16" in said[0], f"(PostgreSQL) {NEWEST}" in said[1]] == [True, True]


def test_server_that_does_not_start_says_why(stopped: PostgresServer) -> None:
    (stopped.data / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedError, match=r"did not start .*pg_control.*server\.log"):
        stopped.start()


def test_half_made_data_is_made_anew(own_home: Home, make_postgres: MakePostgres) -> None:
    server = make_postgres(own_home)
    server.start()
    server.stop()
    server.data.rename(server.data.with_name("data.partial"))
    server.start()
    assert ask(server.maintenance_url, "SELECT 1") == (1,)
    assert not server.data.with_name("data.partial").exists()


def test_installations_run_side_by_side(tmp_path: Path, make_postgres: MakePostgres) -> None:
    servers = [make_postgres(Home(tmp_path / name)) for name in ("one", "two")]
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_ready()
    one, two = (ask(server.maintenance_url, "SHOW data_directory") for server in servers)
    assert one != two
    passwords = {SecretsFolder(tmp_path / name / "secrets").password(SUPERUSER_PASSWORD) for name in ("one", "two")}
    assert len(passwords) == 2


def test_long_path_of_the_home_works(tmp_path: Path, make_postgres: MakePostgres) -> None:
    home = Home(tmp_path / "uma pasta com nome muito comprido, com acentuação e 'aspas'" / ("x" * 80))
    server = make_postgres(home)
    server.start()
    assert ask(server.maintenance_url, "SELECT 1") == (1,)


def test_home_may_move_but_a_copy_is_refused(tmp_path: Path, make_postgres: MakePostgres) -> None:
    home = Home(tmp_path / "home")
    server = make_postgres(home)
    server.start()
    run_statement(server.maintenance_url, "CREATE TABLE kept AS SELECT 7 AS answer")
    server.stop()
    home.path.rename(tmp_path / "moved")
    moved = make_postgres(Home(tmp_path / "moved"))
    moved.start()
    assert ask(moved.maintenance_url, "SELECT answer FROM kept") == (7,)
    moved.stop()

    shutil.copytree(tmp_path / "moved", tmp_path / "copy", symlinks=True)
    copy = make_postgres(Home(tmp_path / "copy"))
    if os.geteuid() == 0:
        # The data of both would be one folder below /var/lib/sigilo.
        with pytest.raises(EmbeddedError, match="is a copy of"):
            copy.start()
        (tmp_path / "copy" / "postgres").unlink()
    else:
        copy.start()
        assert ask(copy.maintenance_url, "SELECT answer FROM kept") == (7,)


def test_address_is_unknown_before_the_start(own_home: Home) -> None:
    with pytest.raises(EmbeddedError, match="has not been started"):
        _ = PostgresServer(own_home).maintenance_url


def test_stop_that_has_to_kill_leaves_nobody(own_home: Home, make_postgres: MakePostgres) -> None:
    server = make_postgres(own_home)
    server.start()
    assert server.process is not None
    with psycopg.connect(server.maintenance_url, autocommit=True):
        assert len(processes_of(server)) > 1
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.stop()
        assert wait_until(lambda: processes_of(server) == [], 5)
