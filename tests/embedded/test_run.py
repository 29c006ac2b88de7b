"""``sigilo run``: everything in the foreground, one installation at a time, and nothing left when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from embedded.home import Home
from embedded.process import is_alive, processes_marked, wait_until
from embedded.supervisor import MARK, answers_ready
from embedded.system_account import remove_system_folder

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = [sys.executable, "-m", "cli", "run"]
# Words of the command lines of what is started after the web server answers.
WORKERS = ("--queues audit", "--exclude-queues audit", "scheduler")
START_SECONDS = 60.0
STOP_SECONDS = 40.0
# What a developer's shell may hold and a start of ours must not take over.
FOREIGN = re.compile(r"DATABASE_URL|REDIS_URL|SECRET_KEY|FIELD_KEY|AUDIT_SIGNING_KEY|SIGILO_|PUBLIC_URL|COV")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Installation:
    """One SIGILO_HOME and port, and the ``sigilo run`` started on them last."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "var")
        self.port = free_port()
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        return inherited | {"SIGILO_HOME": str(self.home.path), "PORT": str(self.port)}

    def sigilo(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in another terminal."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments], cwd=ROOT, env=self.environment | variables,
            capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip

    def begin(self, command: list[str], **variables: str) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment | variables, stdout=output, stderr=subprocess.STDOUT
            )

    def start(self, command: list[str] | None = None, **variables: str) -> None:
        """Begin, and wait until it says that it is ready."""
        self.begin(command or RUN, **variables)
        assert wait_until(lambda: self.has_ended or "Ctrl-C stops" in self.said, START_SECONDS), self.said
        assert not self.has_ended, self.said
        assert wait_until(lambda: all(map(self.has_child, WORKERS)), START_SECONDS), self.said

    @property
    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def tree(self) -> list[psutil.Process]:
        """Everything that runs for this installation, the supervisor first."""
        parent = psutil.Process(self.running.pid)
        return [parent, *parent.children(recursive=True)]

    def child(self, words: str) -> psutil.Process:
        """The supervisor's own child whose command line holds ``words``."""
        supervisor = next(process for process in self.tree() if process.cmdline()[-1:] == ["run"])
        for process in supervisor.children():
            if words in " ".join(process.cmdline()):
                return process
        raise LookupError(words)

    def has_child(self, words: str, *, other_than: int = 0) -> bool:
        try:
            found: int = self.child(words).pid
        except (LookupError, StopIteration, psutil.NoSuchProcess):
            return False
        return found != other_than

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.running.send_signal(number)
        return self.running.wait(STOP_SECONDS)

    def query(self, statement: str) -> tuple[object, ...] | None:
        url = self.sigilo("db", "url").stdout.strip()
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone() if cursor.description else None

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_SECONDS)
        remove_system_folder(self.home.postgres)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Runs for the tests of this module in turn; each leaves it running."""
    made = Installation(tmp_path_factory.mktemp("run"))
    try:
        made.start()
        yield made
    finally:
        made.remove()


def left_alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]


def test_start_says_where_it_is_and_where_the_logins_are(installation: Installation) -> None:
    assert f"http://127.0.0.1:{installation.port}" in installation.said
    assert answers_ready(installation.port)
    credentials = installation.home.demo_credentials
    assert str(credentials) in installation.said
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    logins = json.loads(credentials.read_text())
    assert set(logins) == {"doctor", "doctor2", "nurse", "admin", "reception", "auditor", "patient"}
    assert all(set(login) == {"email", "password"} for login in logins.values())


def test_output_and_environments_hold_no_secret(installation: Installation) -> None:
    values = [path.read_text().strip() for path in installation.home.secrets.iterdir()]
    shown = installation.said + "".join(
        str(process.environ()) + " ".join(process.cmdline())
        for process in installation.tree()
        if not process.name().startswith("postgres")
    )
    assert values
    assert [value for value in values if value in shown] == []


def test_whole_set_takes_less_than_a_gibibyte(installation: Installation) -> None:
    resident = sum(process.memory_info().rss for process in installation.tree())
    assert resident < 1 << 30


def test_second_start_on_the_same_home_is_refused_in_one_line(installation: Installation) -> None:
    refused = installation.sigilo("run", PORT=str(free_port()))
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert f"already runs on {installation.home.path}" in refused.stderr


def test_busy_port_is_refused_in_one_line_before_anything_starts(installation: Installation, tmp_path: Path) -> None:
    refused = installation.sigilo("run", SIGILO_HOME=str(tmp_path / "var"))
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert f"port {installation.port} cannot be used" in refused.stderr
    assert not (tmp_path / "var" / "postgres").exists()
    assert not (tmp_path / "var" / "redis").exists()


def test_commands_in_another_terminal_reach_the_running_servers(installation: Installation) -> None:
    url = installation.sigilo("db", "url", "--role", "staff").stdout.strip()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("sigilo_staff",)
    examined = installation.sigilo("doctor")
    assert examined.returncode == 0, examined.stdout
    assert examined.stdout.splitlines()[-1] == "6 checks, 0 to fix"


@pytest.mark.parametrize("words", ["granian", *WORKERS, "bin/postgres", "redis-server"])
def test_ended_process_is_started_again(installation: Installation, words: str) -> None:
    """``words`` name one child alone: a worker's twin that still runs must not pass for the one started again."""
    victim = installation.child(words)
    members = [process.pid for process in victim.children(recursive=True)]
    victim.kill()
    assert wait_until(lambda: installation.has_child(words, other_than=victim.pid), 20)
    assert wait_until(lambda: left_alive(members) == [], 20)
    assert wait_until(lambda: answers_ready(installation.port), 20)
    assert wait_until(lambda: installation.sigilo("doctor").returncode == 0, 20)


def test_killed_parent_takes_all_along_and_the_next_start_recovers(installation: Installation) -> None:
    installation.query("CREATE TABLE kept AS SELECT 7 AS answer")
    pids = [process.pid for process in installation.tree()]
    installation.running.kill()
    installation.running.wait()
    installation.start()
    assert left_alive(pids) == []
    assert installation.query("SELECT answer FROM kept") == (7,)


def test_interrupt_stops_everything_and_the_next_start_keeps_the_data(installation: Installation) -> None:
    users = installation.query("SELECT count(*) FROM users")
    logins = installation.home.demo_credentials.read_bytes()
    pids = [process.pid for process in installation.tree()]
    assert installation.stop(signal.SIGINT) == 0
    assert left_alive(pids) == []
    refused = installation.sigilo("db", "url")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "start `make run` first" in refused.stderr
    installation.start()
    assert installation.query("SELECT count(*) FROM users") == users
    assert installation.home.demo_credentials.read_bytes() == logins


def test_second_installation_runs_beside_the_first_and_ends_with_its_make(
    installation: Installation, tmp_path: Path
) -> None:
    other = Installation(tmp_path)
    # In the place of ``make``, which can be killed without a chance to stop what it started.
    code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'cli', 'run'])"
    try:
        other.start([sys.executable, "-c", code], SIGILO_STOP_WITH_PARENT="1")
        assert answers_ready(installation.port)
        assert answers_ready(other.port)
        assert other.query("SHOW data_directory") != installation.query("SHOW data_directory")
        pids = [process.pid for process in other.tree()]
        other.running.kill()
        assert wait_until(lambda: left_alive(pids) == [], STOP_SECONDS)
        assert answers_ready(installation.port)
    finally:
        other.remove()


def test_stop_while_starting_leaves_nothing(tmp_path: Path) -> None:
    starting = Installation(tmp_path)
    try:
        starting.begin(RUN)
        assert wait_until(lambda: "Preparing" in starting.said, START_SECONDS)
        pids = [process.pid for process in starting.tree()]
        assert starting.stop(signal.SIGINT) == 0
        assert left_alive(pids) == []
    finally:
        starting.remove()


def test_sigterm_stops_everything(installation: Installation) -> None:
    """Last, for it starts nothing again."""
    pids = [process.pid for process in installation.tree()]
    assert installation.stop(signal.SIGTERM) == 0
    assert left_alive(pids) == []
    assert processes_marked(MARK, str(installation.home.path)) == []
