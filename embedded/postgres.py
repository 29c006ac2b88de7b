"""PostgreSQL from a wheel, run as a plain child process behind a private Unix socket.

Only the wheel's programs are used. Its own start-up code opens every folder above the data to all and
trusts whoever connects; here nothing is opened, and every login has a password (SCRAM-SHA-256).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg

from embedded.errors import EmbeddedError
from embedded.home import Home, write_private
from embedded.process import Account, end_strangers, processes_in, spawn, stop, wait_until
from embedded.readiness import wait_ready
from embedded.secrets import SUPERUSER, SUPERUSER_PASSWORD, SecretsFolder
from embedded.system_account import ensure_account, ensure_system_folder, place_programs, remove_system_folder
from embedded.wheel_programs import brought_versions, installed_postgres, postgres_programs, postgres_wheel_version

DATABASE = "sigilo"
# Names the socket file alone (.s.PGSQL.5432): listen_addresses is empty, so two installations never meet.
PORT = 5432
READY_SECONDS = 120.0  # recovery after a crash may replay much
STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))
LARGEST_LOG_BYTES = 10_000_000

# No statement, parameter or DETAIL line reaches the log: they hold what patients told their doctor.
SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "512MB",
    "max_wal_size": "512MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "random_page_cost": "1.1",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "datestyle": "'iso, ymd'",
    "lc_messages": "'C'",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_line_prefix": "'%m [%p] %u '",
}
# By major version. What 18 reads ahead with three processes of their own lies in memory here.
SETTINGS_SINCE = {18: {"io_method": "sync"}}
# For tests alone: a crash of the machine loses the data.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
HBA = "# Made at every start. A password for everybody, over the socket only.\nlocal all all scram-sha-256\n"


class PostgresServer:
    """The database server of one installation. Not started yet; ``start()`` or ``launch()`` does that."""

    def __init__(self, home: Home, *, durable: bool = True, programs: Path | None = None) -> None:
        """``programs`` is the folder of an installed PostgreSQL's programs, to run instead of the wheel's."""
        self._home = home
        self._given_programs = programs
        self._durable = durable
        self._secrets = SecretsFolder(home.secrets)
        self._account: Account | None = None
        self._root = home.postgres
        self._sockets: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self._root / "data"

    @property
    def version(self) -> str:
        """The major version that made the data, such as "18". Raises EmbeddedError where that can't be told."""
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except OSError:
            found = ""
        if not found:
            raise EmbeddedError(f"{self.data} is damaged, PG_VERSION says nothing: restore a backup")
        return found

    @property
    def client_programs(self) -> list[Path]:
        """Folders with a pg_dump: the one of the data's version first, then what else is brought, for other servers."""
        own = self._given_programs or postgres_programs(self.version)
        return list(dict.fromkeys([own, *map(postgres_programs, brought_versions())]))

    @property
    def log(self) -> Path:
        return self._root / "server.log"

    @property
    def superuser_url(self) -> str:
        return self._superuser_url(DATABASE)

    @property
    def maintenance_url(self) -> str:
        """The superuser on the database that is always there."""
        return self._superuser_url("postgres")

    def _superuser_url(self, database: str) -> str:
        if self._sockets is None:
            raise EmbeddedError("PostgreSQL has not been started, so it has no address yet")
        return self.url(SUPERUSER, self._secrets.password(SUPERUSER_PASSWORD), database)

    def url(self, role: str, password: str, database: str = DATABASE) -> str:
        """libpq URL for ``role``; the server must have been launched, which decides where its socket is."""
        if self._sockets is None:
            raise EmbeddedError("PostgreSQL has not been started, so it has no address yet")
        host = quote(str(self._sockets), safe="")
        return f"postgresql://{role}:{quote(password, safe='')}@/{database}?host={host}&port={PORT}"

    def start(self) -> None:
        """Launch and wait until it answers. Raises EmbeddedError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> subprocess.Popen[bytes]:
        """Begin to start: end what a killed parent left, make the data folder once, start the process.

        Returns the process. Raises EmbeddedError when that cannot be done.
        """
        self._prepare_folders()
        self._end_leftovers()
        programs = self._find_programs()
        if not self.data.is_dir():
            self._make_data(programs)
        self._write_configuration()
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        command: list[str | Path] = [
            programs / "postgres", "-D", self.data,
            "-c", f"config_file={self._root}/postgresql.conf",
            "-c", f"hba_file={self._root}/pg_hba.conf",
            "-c", f"ident_file={self._root}/pg_ident.conf",
        ]  # fmt: skip
        self.process = spawn(
            command,
            environment=self._environment(),
            folder=Path("/"),
            log=self.log,
            death_signal=signal.SIGINT,
            account=self._account,
        )
        return self.process

    def wait_ready(self, check: Callable[[], None] = lambda: None) -> None:
        """Return once a query is answered; see ``embedded.readiness``. Raises EmbeddedError."""
        wait_ready(
            "PostgreSQL", self.process, self._answers, seconds=READY_SECONDS, log=self.log, last_words=self._last_words,
            check=check,
        )  # fmt: skip

    def stop(self) -> bool:
        """Stop cleanly, rolling back what runs. Returns False when it had to be killed."""
        process, self.process = self.process, None
        gently = process is None or stop(process, STOP_STEPS)
        if not gently:
            self._end_backends()
        return gently

    def destroy(self) -> None:
        """Stop and delete the data: for installations made by tests."""
        self.stop()
        if self._home.postgres.is_symlink():
            remove_system_folder(self._home.postgres)
        else:
            shutil.rmtree(self._home.postgres, ignore_errors=True)
        self._remove_socket()
        self._home.leave_sockets()

    def _prepare_folders(self) -> None:
        """Find or make account and folders."""
        self._home.create()
        if os.geteuid() == 0:
            self._account = ensure_account()
            self._root = ensure_system_folder(self._home.postgres, self._home.path)
            self._sockets = self._root / "socket"
            self._sockets.mkdir(mode=0o700, exist_ok=True)
            os.chown(self._sockets, self._account.uid, self._account.gid)
            return
        if self._home.postgres.is_symlink():
            raise EmbeddedError(
                f"{self._home.path} was started by root: run as root, or set SIGILO_HOME to another folder"
            )
        self._root.mkdir(mode=0o700, exist_ok=True)
        self._sockets = self._home.sockets()

    def _find_programs(self) -> Path:
        """The folder of the programs that made the data, or will. Raises EmbeddedError where nobody brings them."""
        found = self.version if self.data.is_dir() else None
        given = self._given_programs
        brought = brought_versions() if given is None else [major_version(given)]
        if found is not None and found not in brought:
            raise EmbeddedError(
                f"{self.data} is PostgreSQL {found}'s and this Sigilo brings {' and '.join(brought)}: "
                "restore a backup into a new SIGILO_HOME"
            )
        if given is not None:
            return given
        installed = installed_postgres(found or brought[0])
        if self._account is not None:
            installed = place_programs(installed, postgres_wheel_version(), self._account)
        return installed / "bin"

    def _end_leftovers(self) -> None:
        """End a server that outlived a killed parent, and remove what would make PostgreSQL refuse to start.

        The caller holds the lock of this home, so whatever still works in the data folder is a leftover.
        """
        if self.data.is_dir():
            postmaster = self._postmaster()
            if postmaster is not None:
                end_strangers(lambda: [pid for pid in (self._postmaster(),) if pid], STOP_STEPS)
            self._end_backends()
            # A number in it may by now belong to any other process, which PostgreSQL would take for a server.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._remove_socket()

    def _remove_socket(self) -> None:
        """A server that was killed leaves its socket behind."""
        if self._sockets is not None:
            for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
                (self._sockets / name).unlink(missing_ok=True)

    def _end_backends(self) -> None:
        """Wait until the server's own children have noticed within moments that it is gone, or end them."""
        wait_until(lambda: not processes_in(self.data, "postgres"), 3.0)
        if not end_strangers(lambda: processes_in(self.data, "postgres"), ((signal.SIGKILL, 10.0),)):
            raise EmbeddedError(f"another server works in {self.data} and cannot be ended: stop it")

    def _postmaster(self) -> int | None:
        """The server process that the pid file names, if it is one and works in our data folder."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if pid in processes_in(self.data, "postgres") else None

    def _make_data(self, programs: Path) -> None:
        """Run initdb into a folder beside, renamed when complete, so that a killed initdb leaves nothing."""
        partial = self._root / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        password = self._root / "initdb-password"
        write_private(password, self._secrets.password(SUPERUSER_PASSWORD) + "\n")
        if self._account:
            os.chown(partial, self._account.uid, self._account.gid)
            os.chown(password, self._account.uid, self._account.gid)
        command: list[str | Path] = [
            programs / "initdb", "--pgdata", partial, "--username", SUPERUSER, "--pwfile", password,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--data-checksums",
            "--no-instructions",
        ]  # fmt: skip
        if not self._durable:
            command.append("--no-sync")
        try:
            made = spawn(
                command,
                environment=self._environment(),
                folder=Path("/"),
                log=self.log,
                death_signal=signal.SIGKILL,
                account=self._account,
            )
            try:
                made.wait()
            finally:
                stop(made, ())
        finally:
            password.unlink(missing_ok=True)
        if made.returncode != 0:
            raise EmbeddedError(f"initdb failed ({self._last_words()}): see {self.log}")
        partial.rename(self.data)

    def _write_configuration(self) -> None:
        """The three files the server reads, outside the folder it writes to: it cannot open itself up."""
        settings = SETTINGS | {"unix_socket_directories": f"'{self._sockets}'", "port": str(PORT)}
        # Containers may come without shared memory; the data folder serves as well, more slowly.
        shared_memory = "posix" if os.access("/dev/shm", os.W_OK) else "mmap"  # noqa: S108
        settings["dynamic_shared_memory_type"] = shared_memory
        for since, further in SETTINGS_SINCE.items():
            if int(self.version) >= since:
                settings |= further
        if not self._durable:
            settings |= FORGETFUL
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        for name, text in (("postgresql.conf", lines), ("pg_hba.conf", HBA), ("pg_ident.conf", "")):
            path = self._root / name
            write_private(path, text)
            if self._account:
                os.chown(path, 0, self._account.gid)
                path.chmod(0o640)

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.maintenance_url, connect_timeout=3, autocommit=True) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it said nothing"


def major_version(programs: Path) -> str:
    """Such as "16", as ``postgres --version`` says it."""
    said = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True)
    return said.stdout.split()[2].split(".")[0]
