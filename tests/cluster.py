"""PostgreSQL servers that belong to one test: killed, copied, archived and recovered as it likes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from embedded.process import Account, spawn, stop, wait_until
from embedded.system_account import ensure_account, ensure_system_folder, place_programs, remove_system_folder
from embedded.wheel_programs import NEWEST, installed_postgres, postgres_wheel_version
from tests.installation import free_port

LOGIN, PASSWORD = "cluster", "of the tests alone"
STARTS_SECONDS = 60.0
CONFIGURATION = """
listen_addresses = '127.0.0.1'
max_connections = 100
shared_buffers = 64MB
max_parallel_workers_per_gather = 0
jit = off
wal_level = replica
hot_standby = on
"""
HBA = f"""
local all {LOGIN} scram-sha-256
host all {LOGIN} 127.0.0.1/32 scram-sha-256
host replication {LOGIN} 127.0.0.1/32 scram-sha-256
"""
INSTALL_POSTGRESQL_15 = Path(__file__).parent.parent / "scripts" / "install-postgresql-15"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Programs:
    """Where PostgreSQL's are, and the account that they run as when this process is root."""

    folder: Path
    account: Account | None

    def run(self, name: str | Path, *arguments: str | Path, **environment: str) -> str:
        """Run one of them, or another program, to its end; gives what it wrote to its standard output."""
        account = self.account
        done = subprocess.run(
            [self.folder / name, *arguments], check=False, capture_output=True, text=True, errors="replace", cwd="/",
            env=ENVIRONMENT | environment, user=account.uid if account else None,
            group=account.gid if account else None, umask=0o077,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stdout[-1_000:]}{done.stderr[-1_000:]}"
        return done.stdout


class Server:
    """Nobody but the tests' own login reaches it, over loopback or its socket."""

    def __init__(self, programs: Programs, folder: Path, **environment: str) -> None:
        """``environment`` is what its archive command finds."""
        self._programs = programs
        self._folder = folder
        self._environment = environment
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self._folder / "data"

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    @property
    def sockets(self) -> Path:
        return self._folder

    def make(self, settings: str = "", hba: str = HBA) -> None:
        """Empty, and able to be followed; ``settings`` are lines of its configuration, ``hba`` says who may connect."""
        password = self._write(self._folder / "password", f"{PASSWORD}\n")
        self._programs.run(
            "initdb", "--pgdata", self.data, "--username", LOGIN, "--pwfile", password, "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip
        self.write("postgresql.conf", CONFIGURATION + settings)
        self.write("pg_hba.conf", hba)

    def follow(self, primary: Server) -> None:
        """A copy of ``primary``, which it goes on to follow; what was here before is gone."""
        shutil.rmtree(self.data, ignore_errors=True)
        self._programs.run(
            "pg_basebackup", "--pgdata", self.data, "--dbname", primary.url("postgres"), "--write-recovery-conf",
            "--checkpoint", "fast", "--no-sync",
        )  # fmt: skip

    def start(self, *options: str) -> None:
        """``options``: of its command line, before which its configuration gives way."""
        program = self._programs.folder / "postgres"
        self._process = spawn(
            [program, "-D", self.data, "-p", str(self.port), "-k", self.sockets, *options],
            environment=ENVIRONMENT | self._environment, folder=Path("/"), log=self.log, death_signal=signal.SIGINT,
            account=self._programs.account,
        )  # fmt: skip
        assert wait_until(self._answers, STARTS_SECONDS), self.log.read_text()[-2_000:]

    def url(self, database: str) -> str:
        return f"postgresql://{LOGIN}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), connect_timeout=3, autocommit=True)

    def kill(self) -> None:
        """As the kernel does; its children see that it is gone and end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def promote(self) -> None:
        with self.connect() as connection:
            assert connection.execute("SELECT pg_promote(wait => true)").fetchone() == (True,)

    def end(self) -> None:
        if self._process is not None:
            stop(self._process, ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)))

    def _answers(self) -> bool:
        try:
            with self.connect() as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def write(self, name: str, text: str) -> Path:
        """A file beside its data that only its account reads."""
        return self._write(self.data / name, text)

    def _write(self, path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o600)
        if self._programs.account is not None:
            os.chown(path, self._programs.account.uid, self._programs.account.gid)
        return path


def account_here() -> Account | None:
    """Whom servers run as: PostgreSQL refuses root."""
    return ensure_account() if os.geteuid() == 0 else None


def programs_here() -> Programs:
    """Those that TEST_POSTGRES_PROGRAMS names, else the wheel's."""
    named = os.environ.get("TEST_POSTGRES_PROGRAMS")
    return Programs(Path(named), account_here()) if named else brought_programs()


def brought_programs(version: str = NEWEST) -> Programs:
    """Those of the wheel's PostgreSQL of that major version."""
    account, installed = account_here(), installed_postgres(version)
    if account is not None:
        installed = place_programs(installed, postgres_wheel_version(), account)
    return Programs(installed / "bin", account)


def production_programs() -> Programs:
    """Those of PostgreSQL 15, which Debian packs with the extensions that the wheel lacks."""
    found = subprocess.run([INSTALL_POSTGRESQL_15], stdout=subprocess.PIPE, text=True, check=True)
    return Programs(Path(found.stdout.strip()), account_here())


@contextmanager
def server_folders(account: Account | None, *names: str) -> Iterator[list[Path]]:
    """A folder for each of ``names`` that the servers' account reaches; deleted at the end. Their paths are short: a
    socket's must be."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        home = Path(folder)
        if account is None:
            for name in names:
                (home / name).mkdir(mode=0o700)
            yield [home / name for name in names]
            return
        made = [ensure_system_folder(home / name, home) for name in names]
        for each in made:
            os.chown(each, account.uid, account.gid)
        try:
            yield made
        finally:
            for name in names:
                remove_system_folder(home / name)
