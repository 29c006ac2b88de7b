"""``sigilo run``: servers, web, worker and scheduler in the foreground, and nothing left when it ends.

Children sit in sessions of their own and die with this process by order of the kernel. Should one survive
all the same, the next start finds it by the mark in its environment and ends it first.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from embedded import postgres, redis
from embedded.errors import EmbeddedError
from embedded.home import Home
from embedded.installation import (
    EMBEDDED_DATABASE,
    brings_database,
    brings_redis,
    installation_environment,
    refuse_lost_keys,
)
from embedded.process import die_with_parent, end_group, end_strangers, processes_marked, spawn, stop
from embedded.serving import (
    audit_worker_command,
    inference_worker_command,
    metrics_environment,
    other_worker_command,
    prompt_worker_command,
    scheduler_command,
    web_command,
    worker_environment,
)

HOST = "127.0.0.1"
CODE = Path(__file__).resolve().parent.parent
MARK = "SIGILO_CHILD_OF"
TICK_SECONDS = 0.1
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0
STEADY_SECONDS = 60.0  # a child that lived this long has recovered
TRIES_BEFORE_READY = 3
HEAD_START_SECONDS = 10.0
STOP_SECONDS = 15.0  # of all at once; a worker gives what runs ten seconds to finish
LEFTOVER_STEPS = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class StopRequested(Exception):
    """Somebody asked us to end while we were still starting."""


@dataclass(eq=False)
class Child:
    """One long-running process, how it is started and stopped, and how often it has ended by itself."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    stop: Callable[[], object] | None = None
    # What a second Ctrl-C sends: PostgreSQL ends its own children on it, the others have a group.
    hurry: signal.Signals = signal.SIGKILL
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started: float = 0.0
    restart_at: float = 0.0
    ends_by: float | None = None  # once it was asked to end

    def begin(self) -> None:
        self.started = time.monotonic()
        self.process = self.start()

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def ask_to_end(self) -> None:
        """Once: to many a program a second SIGTERM means not to finish what it does. A server has its own way."""
        if self.process is not None and self.stop is None and self.ends_by is None:
            self.ends_by = time.monotonic() + STOP_SECONDS
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Wait until it has ended, and end it when it does not in time."""
        self.ask_to_end()
        if self.process is not None:
            if self.stop is not None:
                self.stop()
            else:
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(max(0.0, (self.ends_by or 0.0) - time.monotonic()))
                stop(self.process, ())
            self.process = None

    def postpone(self) -> float:
        """Plan the next start, later after each failure. Returns the seconds until then."""
        self.failures = 1 if time.monotonic() - self.started > STEADY_SECONDS else self.failures + 1
        seconds = min(FIRST_BACKOFF * 2.0 ** (self.failures - 1), LONGEST_BACKOFF)
        self.restart_at = time.monotonic() + seconds
        self.process = None
        return seconds


class Supervisor:
    """Runs one installation on one port; ``say`` takes lines for the terminal."""

    def __init__(
        self, home: Home, *, port: int, say: Callable[[str], None], environ: Mapping[str, str] = os.environ
    ) -> None:
        self._home = home
        self._port = port
        self._say = say
        self._given = {name: value for name, value in environ.items() if name != MARK}
        self._environment: dict[str, str] = {}
        self._children: list[Child] = []  # in the order they are stopped
        self._signals = 0
        self._is_ready = False

    def run(self) -> None:
        """Start all, watch, stop all: returns after a signal, when nothing is left.

        Raises EmbeddedError, everything being stopped, when something can't be started.
        """
        self._home.create()
        lock = self._home.lock()
        handlers = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self._end_leftovers()
            refuse_busy_port(self._port)
            refuse_lost_keys(self._home)
            self._start_servers()
            self._prepare_database()
            self._start_application()
            self._watch()
        except StopRequested:
            pass
        finally:
            self._stop_all()
            self._home.forget_state()
            self._home.leave_sockets()
            lock.release()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            # Whoever asks twice does not want to wait; both servers recover from their logs.
            for child in self._children:
                if child.process is not None and child.process.poll() is None:
                    child.process.send_signal(child.hurry)

    def _check(self) -> None:
        if self._signals:
            raise StopRequested

    def _end_leftovers(self) -> None:
        """A killed parent's children are already ending by themselves; make sure before taking their port."""
        if not end_strangers(lambda: processes_marked(MARK, str(self._home.path)), LEFTOVER_STEPS):
            raise EmbeddedError(f"processes of an earlier start on {self._home.path} do not end: end them by hand")

    def _start_servers(self) -> None:
        """Start what the environment does not bring, both at once, and wait until they answer."""
        database = None if brings_database(self._given) else postgres.PostgresServer(self._home)
        broker = None if brings_redis(self._given) else redis.RedisServer(self._home)
        servers: list[tuple[str, postgres.PostgresServer | redis.RedisServer, signal.Signals]] = []
        if database is not None:
            servers.append(("PostgreSQL", database, signal.SIGQUIT))
        if broker is not None:
            servers.append(("Redis", broker, signal.SIGKILL))
        for name, server, hurry in servers:
            self._say(f"Starting {name} …")
            child = Child(name, server.launch, server.stop, hurry)
            self._children.insert(0, child)
            child.begin()
        for _, server, _ in servers:
            server.wait_ready(self._check)
        ours = installation_environment(self._home, self._given, port=self._port, postgres=database, redis=broker)
        self._environment = {**self._given, **ours, MARK: str(self._home.path)}
        if database is not None:
            self._environment[EMBEDDED_DATABASE] = "1"
        self._home.write_state(ours)

    def _prepare_database(self) -> None:
        """Migrate, and seed an empty database, in a process whose memory is given back."""
        self._say("Preparing the database …")
        child = Child("preparation", lambda: self._spawn([sys.executable, "-m", "embedded.prepare"]))
        self._children.insert(0, child)
        child.begin()
        while not child.has_ended():
            self._check()
            time.sleep(TICK_SECONDS)
        self._children.remove(child)
        if child.process is not None and child.process.returncode != 0:
            raise EmbeddedError("the database could not be prepared: the message above says why")

    def _start_application(self) -> None:
        metrics = self._home.path / "metrics" / str(self._port)
        has_model = bool(self._environment.get("OLLAMA_URL"))
        application = [
            Child(
                "web",
                lambda: self._spawn(
                    web_command(host=HOST, port=self._port), metrics_environment(self._environment, metrics)
                ),
            ),
            self._worker("audit worker", 0, audit_worker_command()),
            self._worker("prompt worker", 1, prompt_worker_command(has_model=has_model)),
            self._worker("worker", 2, other_worker_command()),
            Child("scheduler", lambda: self._spawn(scheduler_command())),
        ]
        if has_model:
            application.insert(-1, self._worker("inference worker", 3, inference_worker_command(self._answers())))
        self._children[:0] = application
        web, *others = application
        web.begin()
        # All at once would compete for the processors, and somebody is waiting for the first page.
        for child in others:
            child.restart_at = time.monotonic() + HEAD_START_SECONDS

    def _answers(self) -> int:
        """AI_PARALLEL; what is wrong with it, the workers' settings say."""
        given = self._environment.get("AI_PARALLEL", "")
        return max(1, int(given)) if given.isdigit() else 1

    def _worker(self, name: str, number: int, command: list[str]) -> Child:
        return Child(
            name,
            lambda: self._spawn(command, worker_environment(self._environment, self._home.path, number=number)),
        )

    def _spawn(self, command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        return spawn(command, environment=environment or self._environment, folder=CODE)

    def _watch(self) -> None:
        """Until a signal: start again what ended, and say once when the application answers."""
        while not self._signals:
            if not self._is_ready and answers_ready(self._port):
                self._is_ready = True
                for child in self._children:
                    child.restart_at = 0.0
                self._announce()
            for child in reversed(self._children):  # servers before those who need them
                self._revive(child)
            time.sleep(TICK_SECONDS)

    def _revive(self, child: Child) -> None:
        if child.has_ended() and child.process is not None:
            end_group(child.process.pid)
            code = child.process.returncode
            seconds = child.postpone()
            if not self._is_ready and child.failures >= TRIES_BEFORE_READY:
                raise EmbeddedError(f"{child.name} does not start (it ended with {code}): the messages above say why")
            self._say(f"{child.name} ended with {code}: starting it again in {seconds:g} s")
        elif child.process is None and time.monotonic() >= child.restart_at:
            try:
                child.begin()
            except EmbeddedError as error:
                self._say(f"{child.name}: {error}: trying again in {child.postpone():g} s")

    def _announce(self) -> None:
        self._say(f"Sigilo is ready: http://{HOST}:{self._port}")
        if self._home.demo_credentials.exists():
            self._say(f"Demo logins:     {self._home.demo_credentials}")
        self._say("Ctrl-C stops everything.")

    def _stop_all(self) -> None:
        """The application at once, whose parts need no other's end; then the servers, which all of them need."""
        if self._children:
            self._say("Stopping …")
        for child in self._children:
            child.ask_to_end()
        while self._children:
            self._children[0].end()
            self._children.pop(0)


def follow_parent() -> None:
    """Stop as on SIGTERM when the process that started us ends, a killed ``make`` included."""
    parent = os.getppid()
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        raise EmbeddedError("the process that started this one has ended")


def refuse_busy_port(port: int) -> None:
    """Raise EmbeddedError when something listens on ``port`` already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EmbeddedError(
                f"port {port} cannot be used ({error.strerror}): choose another, such as PORT={port + 1}"
            ) from None


def answers_ready(port: int) -> bool:
    """Whether /readyz says that the application and its servers are there."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/readyz", headers={"Host": f"{HOST}:{port}"})
        return connection.getresponse().status == http.client.OK
    return False
