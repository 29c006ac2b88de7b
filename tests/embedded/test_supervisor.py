"""How the supervisor plans restarts, and what it refuses before starting anything."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from embedded import supervisor
from embedded.errors import EmbeddedError
from embedded.home import Home
from embedded.process import spawn, wait_until
from embedded.serving import (
    audit_worker_command,
    inference_worker_command,
    metrics_environment,
    other_worker_command,
    prompt_worker_command,
    scheduler_command,
    web_command,
    worker_command,
)
from embedded.supervisor import FIRST_BACKOFF, LONGEST_BACKOFF, STEADY_SECONDS, Child, refuse_busy_port


def failing() -> subprocess.Popen[bytes]:
    process = spawn([sys.executable, "-c", "raise SystemExit(3)"], environment={}, folder=Path("/"))
    process.wait()
    return process


def test_restarts_come_later_after_each_failure_up_to_a_limit() -> None:
    child = Child("web", failing)
    waits = []
    for _ in range(9):
        child.begin()
        assert child.has_ended()
        waits.append(child.postpone())
    assert waits[:4] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF, 8 * FIRST_BACKOFF]
    assert waits[-1] == LONGEST_BACKOFF
    assert child.process is None
    assert child.restart_at > time.monotonic()


def test_child_that_lived_long_starts_again_soon() -> None:
    child = Child("web", failing, failures=8)
    child.begin()
    child.started -= STEADY_SECONDS + 1
    assert child.postpone() == FIRST_BACKOFF


# Notes when it was asked to end, whether it was asked twice within the half second that it takes, and when it ended.
SLOW = """
import pathlib, signal, sys, time
notes, term = pathlib.Path(sys.argv[1]), {signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, term)
notes.write_text("")
signal.sigwait(term)
asked = time.monotonic()
again = signal.sigtimedwait(term, 0.5)
notes.write_text(f"{asked} {'once' if again is None else 'twice'} {time.monotonic()}")
"""


def test_the_applications_parts_are_asked_to_end_at_once_and_once_each_then_the_servers(tmp_path: Path) -> None:
    notes = [tmp_path / name for name in ("web", "worker", "scheduler")]
    running = supervisor.Supervisor(Home(tmp_path), port=0, say=lambda _: None)
    for each in notes:
        command = [sys.executable, "-c", SLOW, str(each)]
        running._children.append(Child(each.name, partial(spawn, command, environment={}, folder=Path("/"))))
        running._children[-1].begin()
    running._children.append(Child("postponed", failing))  # one that is not running has nobody to ask
    servers_end: list[float] = []
    server = Child("server", failing, lambda: servers_end.append(time.monotonic()))
    server.begin()
    running._children.append(server)
    assert wait_until(lambda: all(each.exists() for each in notes), 10)
    running._stop_all()
    asked, times, ended = zip(*(each.read_text().split() for each in notes), strict=True)
    assert times == ("once",) * 3
    assert max(map(float, asked)) < min(map(float, ended)), "one after the other"
    assert len(servers_end) == 1
    assert servers_end[0] > max(map(float, ended)), "before those who need it"


def test_busy_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(EmbeddedError, match=f"port {port} cannot be used .*PORT={port + 1}"):
            refuse_busy_port(port)
    refuse_busy_port(port)


def test_nobody_answers_on_a_closed_port() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not supervisor.answers_ready(closed.getsockname()[1])


def test_command_lines_name_the_address_and_no_secret() -> None:
    command = web_command(host="127.0.0.1", port=8123, workers=2, threads=4)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "8123"
    assert command[command.index("--workers") + 1] == "2"
    assert worker_command(processes=3)[worker_command().index("--concurrency") + 1] == "3"
    audit, others = audit_worker_command(), other_worker_command()
    assert audit[audit.index("--queues") + 1] == "audit"
    assert others[others.index("--exclude-queues") + 1] == "audit,mail,access,inference"
    prompt, without_model = prompt_worker_command(has_model=True), prompt_worker_command(has_model=False)
    assert prompt[prompt.index("--queues") + 1] == "mail,access", "what nobody's import should delay"
    assert without_model[without_model.index("--queues") + 1] == "mail,access,inference", "rules answer at once"
    inference = inference_worker_command()
    assert inference[inference.index("--queues") + 1] == "inference", "a slow model delays nobody else"
    assert inference[inference.index("--pool") + 1] == "solo"
    parallel = inference_worker_command(3)
    assert parallel[parallel.index("--concurrency") + 1] == "3", "a slot that nobody takes is a card that idles"
    assert scheduler_command()[-1] == "scheduler"


def test_metrics_of_the_last_run_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "metrics"
    assert metrics_environment({"A": "1"}, folder) == {"A": "1", "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    (folder / "counter_1.db").write_text("old")
    metrics_environment({}, folder)
    assert list(folder.iterdir()) == []
