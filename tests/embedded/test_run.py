"""``sigilo run``: everything in the foreground, one installation at a time, and nothing left when it ends."""

from __future__ import annotations

import json
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from embedded.process import is_alive, processes_marked, wait_until
from embedded.supervisor import MARK, answers_ready
from tests import plain_http
from tests.embedded.secret_traces import (
    WRONG,
    Traces,
    command_lines,
    wrong_database_passwords,
    wrong_redis_password,
)  # fmt: skip
from tests.faults.clinic import BACK_SECONDS
from tests.installation import RUN, START_SECONDS, STOP_SECONDS, WORKERS, Installation, free_port


@pytest.fixture(scope="module")
def seen_in_ps() -> Iterator[set[bytes]]:
    with command_lines() as seen:
        yield seen


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, seen_in_ps: set[bytes]) -> Iterator[Installation]:
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


AT_WORK = """
    SELECT (SELECT count(*) FILTER (WHERE state IN ('PENDING', 'RUNNING')) + (count(*) = 0)::int FROM backups)
        + (SELECT count(*) FROM backup_drills WHERE state = 'RUNNING')
"""


def first_backup_is_done(installation: Installation) -> bool:
    """The backup that is due when it first starts is made, and drilled."""
    return wait_until(lambda: installation.query(AT_WORK) == (0,), START_SECONDS)


def test_a_whole_installation_passes_the_smoke_test(installation: Installation) -> None:
    """Signed in too; it takes a moment until every worker is there and the first backup is drilled."""
    url, logins = f"http://127.0.0.1:{installation.port}", str(installation.home.demo_credentials)
    assert wait_until(lambda: plain_http.get(f"{url}/api/health").json()["status"] == "ok", START_SECONDS)
    said = installation.sigilo("smoke", url, "--credentials", logins, "--as", "nurse")
    assert (said.returncode, said.stdout.count("FAIL")) == (0, 0), said.stdout + said.stderr
    assert said.stdout.endswith("10 checks, 0 failed\n")
    assert said.stdout.splitlines()[-2] == "pass  Sign-in: in and out again"


def test_nothing_secret_is_shown_whatever_fails(installation: Installation, seen_in_ps: set[bytes]) -> None:
    """In ``ps``, logs, pages, /metrics and what commands say, while all is well, the database refuses every password,
    and Redis does."""
    home = installation.home
    assert first_backup_is_done(installation), "one that loses its database is said to run for some minutes more"
    logins = json.loads(home.demo_credentials.read_text())
    traces = Traces(installation)
    with httpx.Client(timeout=30) as client:
        traces.visit(client, "signed out")
        traces.sign_in(client, **logins["admin"])
        traces.visit(client, "signed in")
        token = installation.sigilo("token", "create", "--email", logins["doctor"]["email"]).stdout.strip()
        listed = client.get(f"{traces.url}/api/patients", headers={"Authorization": f"Bearer {token}"})
        assert listed.status_code == 200
        with wrong_redis_password(installation):
            traces.visit(client, "no Redis")
            with wrong_database_passwords(installation):
                traces.visit(client, "no database either")
                said = traces.command("doctor")
        url = (home.secrets / "database_url_staff").read_text().strip()
        own = (home.secrets / "sigilo_staff_password").read_text().strip()
        given = {"DATABASE_URL_STAFF": url.replace(own, WRONG), "REDIS_URL": f"redis://:{WRONG}@127.0.0.1:1/0"}
        said += traces.command("doctor", **given)
        assert said.count("check DATABASE_URL") >= 2 and said.count("check REDIS_URL") == 2
        assert wait_until(lambda: client.get(f"{traces.url}/readyz").status_code == 200, 30)
        traces.visit(client, "well again")
        restored = traces.command("backup", "restore", "latest", "--into", "sigilo_beside")
        assert restored.endswith("rows restored as sigilo_beside\n"), restored
        installation.query("DROP DATABASE sigilo_beside")
        cookies = [value for value in client.cookies.values() if value]
    traces.logs()
    assert {200, 401, 404, 503} <= traces.statuses, "it was seen to fail"
    values = {path.name: path.read_text().strip() for path in home.secrets.iterdir()}
    values |= {f"the password of {who}": login["password"] for who, login in logins.items()}
    values |= {"token": token, "wrong": WRONG, "session": cookies[0]}
    assert traces.where("check REDIS_URL") and traces.where("ready to accept connections"), "all was looked at"
    assert {name: traces.where(value) for name, value in values.items() if traces.where(value)} == {}
    shown = b"\n".join(seen_in_ps)
    assert b"granian" in shown and b"bin/postgres" in shown, "it was looked at"
    assert [name for name, value in values.items() if value.encode() in shown] == []


def test_whole_set_takes_less_than_a_gibibyte(installation: Installation) -> None:
    """Idle. What processes share, as PostgreSQL's do their buffers and a forked worker its programs, lies in memory
    once and counts once."""
    assert first_backup_is_done(installation)
    resident = 0
    for process in installation.tree():
        with suppress(psutil.NoSuchProcess):  # a connection's own, which ended meanwhile
            resident += process.memory_full_info().pss
    assert 1 << 27 < resident < 1 << 30


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
    assert examined.stdout.splitlines()[-1] == "14 checks, 0 to fix"


@pytest.mark.parametrize("words", ["granian", *WORKERS, "bin/postgres", "redis-server"])
def test_ended_process_is_started_again(installation: Installation, words: str) -> None:
    """``words`` name one child alone: a worker's twin that still runs must not pass for the one started again."""
    victim = installation.child(words)
    members = [process.pid for process in victim.children(recursive=True)]
    victim.kill()
    assert wait_until(lambda: installation.has_child(words, other_than=victim.pid), 20)
    assert wait_until(lambda: left_alive(members) == [], 20)
    assert wait_until(lambda: answers_ready(installation.port), BACK_SECONDS)
    assert wait_until(lambda: installation.sigilo("doctor").returncode == 0, BACK_SECONDS)


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
