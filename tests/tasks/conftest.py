"""Real workers, schedulers and a Redis that may be stopped, each started and ended by its test."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from config import Settings
from embedded.home import Home
from embedded.redis import RedisServer
from models.engine import Databases
from tests.audit.trail import as_superuser
from tests.conftest import make_settings, test_key
from tests.servers import DatabaseServer
from tests.telling import telling

ROOT = Path(__file__).resolve().parent.parent.parent
WORKER = (
    "-m",
    "celery",
    "--app",
    "celery_app",
    "--quiet",
    "worker",
    "--concurrency",
    "1",
    "--without-gossip",
    "--without-mingle",
)
SCHEDULER = ("-m", "cli", "scheduler")


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return as soon as ``condition`` holds; fail when it doesn't within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class Process:
    """A process of ours: its output by line, and its end."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self.lines.append(line)

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    @property
    def children(self) -> list[psutil.Process]:
        return list(psutil.Process(self._popen.pid).children())

    def kill(self) -> None:
        """kill -9, with everything below it, as the kernel does when memory runs out."""
        family = [*self.children, psutil.Process(self._popen.pid)] if self._popen.poll() is None else []
        for member in family:
            member.kill()
        self._popen.wait(10)

    def hang(self) -> None:
        """It does nothing and closes nothing, as where its machine is lost, until ``go_on``."""
        self._popen.send_signal(signal.SIGSTOP)
        wait_for(lambda: psutil.Process(self._popen.pid).status() == psutil.STATUS_STOPPED)

    def go_on(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self._popen.send_signal(signal.SIGTERM)
        return self._popen.wait(15)


@pytest.fixture(scope="module")
def work_database(server: DatabaseServer, template: str) -> Iterator[str]:
    name = server.create(template=template)
    yield name
    server.drop(name)


@pytest.fixture
def superuser(server: DatabaseServer, work_database: str) -> str:
    """URL of a superuser of this module's database, emptied of events and runs."""
    url = server.superuser_url(work_database)
    with as_superuser(url) as connection:
        connection.execute(
            "TRUNCATE audit_trail, audit_outbox, audit_checkpoints, audit_tree_nodes, checkpoint_sinks, job_runs,"
            " dead_letters"
        )
    return url


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of this module's own, to be hung and killed."""
    made = RedisServer(Home(tmp_path_factory.mktemp("redis")), durable=False)
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.send_signal(signal.SIGCONT)
    made.destroy()


@pytest.fixture
def stoppable_url(stoppable: RedisServer, broker: redis.Redis) -> str:
    """URL of that Redis, emptied."""
    return stoppable.url


@pytest.fixture
def broker(stoppable: RedisServer) -> Iterator[redis.Redis]:
    """A client of that Redis, emptied."""
    with redis.Redis.from_url(stoppable.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def work_settings(
    server: DatabaseServer, work_database: str, superuser: str, stoppable: RedisServer, broker: redis.Redis, home: Path
) -> Settings:
    return make_settings(server.urls(work_database), stoppable.url, home)


@pytest.fixture
def work_databases(server: DatabaseServer, work_database: str, superuser: str) -> Iterator[Databases]:
    made = Databases(server.urls(work_database), pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def environment(
    server: DatabaseServer, work_database: str, stoppable: RedisServer, broker: redis.Redis, home: Path
) -> dict[str, str]:
    """What a process of this installation finds in its environment."""
    return {
        **os.environ,
        "SIGILO_ENV": "development",
        "SIGILO_HOME": str(home),
        "SECRET_KEY": test_key("session") + test_key("more"),
        "FIELD_KEY": test_key("fields"),
        "AUDIT_SIGNING_KEY": test_key("signing"),
        "REDIS_URL": stoppable.url,
        **{f"DATABASE_URL_{name.upper()}": url for name, url in server.urls(work_database).items()},
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[[tuple[str, ...]], Process]]:
    """Starts WORKER or SCHEDULER; whatever still runs at the end is killed."""
    started: queue.SimpleQueue[Process] = queue.SimpleQueue()

    def begin(arguments: tuple[str, ...]) -> Process:
        process = Process(arguments, environment)
        started.put(process)
        return process

    yield begin
    ended: list[Process] = []
    while not started.empty():
        ended.append(started.get())
        ended[-1].kill()
    assert not list(telling("".join(line for process in ended for line in process.lines)))
