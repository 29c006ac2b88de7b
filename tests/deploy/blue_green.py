"""Releases while a clinic works: real web servers of both colours behind Debian's Caddy, six people who forgive
nothing, and `deploy/switch` going forth, back, wrong, and being killed. Not one request may fail, and each record that
somebody got an answer for is there once, with its one event.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest

from config import Settings
from embedded.process import is_alive, wait_until
from embedded.serving import scheduler_command, worker_command
from models import Role
from models.engine import Databases
from services.audit_checkpoint import signer_of
from services.password import hash_password
from tests.conftest import make_settings
from tests.deploy.clinic import Clinic, clinic_at
from tests.deploy.hooks import pid_of
from tests.deploy.load import Load
from tests.deploy.test_switch_steps import LATER, STEPS
from tests.factories.backup import make_backup
from tests.factories.cast import Cast, Person, make_cast, make_person
from tests.faults.ledger import check_ledger
from tests.servers import DatabaseServer
from tests.tasks.conftest import Process
from tests.web.live_server import web_environment

PASSWORD = "lampião quieto verde sertão"
GENTLE_SECONDS = 30.0  # SIGTERM to the end, at most
HOOKS = "tests.deploy.hooks"


@dataclass
class Day:
    """A clinic with everything that runs in one, and who works there."""

    clinic: Clinic
    cast: Cast
    browsing: Person
    url: str
    settings: Settings
    began: datetime

    @contextmanager
    def at_work(self) -> Iterator[Load]:
        """Everybody works until the end of the block, and nobody was refused anything; then the books are checked."""
        load = Load(
            self.clinic.proxy.https, self.clinic.proxy.trust(), self.cast.doctor.token, str(self.cast.patient_id),
            self.browsing.email, PASSWORD,
        )  # fmt: skip
        with load:
            assert wait_until(lambda: load.counts["sign_in_and_out"] > 0, 30), load.failures
            yield load
            before = load.counts.copy()
            assert wait_until(lambda: all(load.counts[each] > before[each] for each in before), 30), load.failures
        assert load.failures == []
        self.check(load)
        acts = ", ".join(f"{count} × {name}" for name, count in load.counts.items())
        sys.stdout.write(f"none failed of {acts}; the slowest took {load.slowest:.2f} s\n")

    def check(self, load: Load) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT title, count(*) FROM medical_records WHERE id = ANY (%s) GROUP BY title",
                (list(load.written.values()),),
            ).fetchall()
            assert sum(count for _, count in rows) == len(load.written), "an answer without its record"
            check_ledger(
                connection, self.url, signer_of(self.settings).own_key, author=self.cast.doctor.id, since=self.began,
                answered=load.answered,
            )  # fmt: skip

    def serves_alone(self, colour: str) -> None:
        assert (self.clinic.serves, self.clinic.running()) == ([colour], [colour])


@pytest.fixture(scope="module")
def day(
    server: DatabaseServer, template: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Day]:
    folder, name = tmp_path_factory.mktemp("day"), server.create(template=template)
    settings = make_settings(server.urls(name), redis_url, folder / "home")
    databases = Databases(server.urls(name), pool_size=2)
    cast = make_cast(databases, settings)
    browsing = make_person(databases, Role.DOCTOR, "Ana Moura", password_hash=hash_password(PASSWORD))
    make_backup(databases)
    with psycopg.connect(server.superuser_url(name), autocommit=True) as connection:
        # No timed job begins: least of all a backup.
        connection.execute("REVOKE INSERT, UPDATE ON job_runs FROM sigilo_worker")
    variables = web_environment(settings)
    background = [Process(tuple(each[1:]), variables) for each in (worker_command(processes=0), scheduler_command())]
    try:
        with clinic_at(folder, settings, drain=3.0, watch=2.0) as clinic:
            yield Day(clinic, cast, browsing, server.superuser_url(name), settings, datetime.now(UTC))
    finally:
        for process in background:
            process.kill()
        databases.dispose()
        server.drop(name)


def test_forth_and_back(day: Day) -> None:
    with day.at_work():
        code, said = day.clinic.switch()
        assert code == 0, said
        day.serves_alone("green")
        code, said = day.clinic.switch("--back")
        assert code == 0, said
        day.serves_alone("blue")


def test_a_form_that_is_being_sent_arrives_and_the_old_colour_waits_for_it(day: Day) -> None:
    with day.at_work():
        with half_a_record(day) as rest:
            process = day.clinic.begin_switch()
            until(process, "Waiting for what blue was asked before")
            assert not wait_until(lambda: process.poll() is not None, 2), "blue has a request"
            assert day.clinic.serves == ["green-then-blue"]
            assert rest() == 201
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        day.serves_alone("green")
        assert day.clinic.switch()[0] == 0
        day.serves_alone("blue")


BROKEN = {
    "it does not start": ({"SECRET_KEY": "short"}, {}, "ended while it started"),
    "it is never ready": (
        {"DATABASE_URL_ANONYMOUS": "postgresql://nobody@127.0.0.1:9/none"}, {}, "was not ready within",
    ),
    "smoke finds something": ({"SIGILO_WEB_APP": "tests.deploy.broken_release:app"}, {}, "/login answers 500"),
    "the proxy does not follow": (
        {}, {"serving": ["sh", "-c", "echo blue"]}, "the proxy should send requests to green-then-blue, and says: blue",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_release_that_is_broken_is_taken_back(day: Day, what: str) -> None:
    variables, commands, why = BROKEN[what]
    day.clinic.install(**variables)
    with day.at_work():
        seconds = "8" if "never" in what else "60"
        code, said = day.clinic.switch("--ready-seconds", seconds, **commands)
        assert code == (3 if commands else 1), said
        assert why in said
        if commands:  # it could not see the way back either, so both colours are left for the next run
            assert day.clinic.serves == ["blue-then-green"]
            assert "broken off" in day.clinic.switch()[1]
        day.serves_alone("blue")
    day.clinic.install()


def test_a_release_that_ends_after_it_was_switched_to_is_taken_back(day: Day) -> None:
    with day.at_work() as load:
        process = day.clinic.begin_switch("--watch-seconds", "10")
        until(process, "Watching green")
        begun = load.counts.total()
        assert wait_until(lambda: load.counts.total() > begun + 5, 30), "it has requests"
        os.kill(pid_of(day.clinic.folder, "green"), signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1, said
        assert "was ready and is no more" in said
        day.serves_alone("blue")


@pytest.mark.parametrize("step", [*STEPS, *LATER])
def test_killed_at_any_step(day: Day, step: str) -> None:
    with day.at_work():
        process = day.clinic.begin_switch()
        until(process, step)
        process.kill()
        process.communicate(timeout=60)
        assert day.clinic.serves[0].partition("-")[0] in day.clinic.running()
        put_in_order(day.clinic)
        day.serves_alone(day.clinic.serves[0])


def put_in_order(clinic: Clinic) -> None:
    """As an operator would, who is told to wait for what the killed one began."""
    found: list[tuple[int, str]] = []

    def is_over() -> bool:
        found.append(clinic.switch())
        return not (found[-1][0] == 3 and "another switch is under way" in found[-1][1])

    assert wait_until(is_over, 60) and found[-1][0] == 0, found[-1][1]


def test_sigterm_of_the_one_that_serves_while_the_other_one_is_there(day: Day) -> None:
    """As when a machine is told to end between two steps."""
    now = day.clinic.serves[0]
    with day.at_work():
        process = day.clinic.begin_switch("--watch-seconds", "60")
        until(process, "Watching")
        new = day.clinic.serves[0].partition("-")[0]
        assert new != now
        pid = pid_of(day.clinic.folder, new)
        assert ends_gently(pid)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1, said
        day.serves_alone(now)


def test_sigterm_without_a_proxy_answers_what_it_was_asked_before_it_said_that_it_ends(day: Day) -> None:
    """Whoever asks /readyz, as proxies do, loses nothing: what was sent before is answered, a slow request too."""
    now = day.clinic.serves[0]
    other = {"blue": "green", "green": "blue"}[now]
    hooks(day.clinic, "start", other)
    assert wait_until(lambda: hooks(day.clinic, "ready", other), 60)
    pid, port = pid_of(day.clinic.folder, other), day.clinic.ports[other]
    load = Load(port, None, day.cast.doctor.token, str(day.cast.patient_id))
    with half_a_record(day, port=port) as rest:
        with load:
            assert wait_until(lambda: load.counts["write"] > 3, 30), load.failures
            os.kill(pid, signal.SIGTERM)
            told = time.monotonic()
            assert wait_until(lambda: not hooks(day.clinic, "ready", other), 5)
        assert load.failures == []
        assert rest() == 201
    assert wait_until(lambda: not is_alive(pid), GENTLE_SECONDS - (time.monotonic() - told))
    day.check(load)


def ends_gently(pid: int) -> bool:
    os.kill(pid, signal.SIGTERM)
    return wait_until(lambda: not is_alive(pid), GENTLE_SECONDS)


def hooks(clinic: Clinic, command: str, colour: str) -> bool:
    words = [sys.executable, "-m", HOOKS, str(clinic.folder), command, colour]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return
    raise AssertionError("".join(said))


@contextmanager
def half_a_record(day: Day, port: int | None = None) -> Iterator[Callable[[], int]]:
    """A request that has sent half of what it has to say; the function sends the rest and gives the answer's status."""
    body = json.dumps({"patientId": str(day.cast.patient_id), "title": "Devagar", "diagnosis": "x" * 4000}).encode()
    head = (
        f"POST /api/medical-records HTTP/1.1\r\nHost: localhost:{port or day.clinic.proxy.https}\r\n"
        f"Authorization: Bearer {day.cast.doctor.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    host = "localhost" if port is None else "127.0.0.1"
    with socket.create_connection((host, port or day.clinic.proxy.https), timeout=30) as plain:
        sent = plain if port else day.clinic.proxy.trust().wrap_socket(plain, server_hostname="localhost")
        with sent:
            sent.sendall(head + body[:2000])

            def rest() -> int:
                sent.sendall(body[2000:])
                answer = sent.makefile("rb").readline().decode()
                found = re.match(r"HTTP/1\.1 (\d+)", answer)
                assert found is not None, answer
                return int(found[1])

            yield rest
