"""Redis from a wheel, run as a plain child process behind a private Unix socket with a password."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.errors import EmbeddedError
from embedded.home import Home, write_private
from embedded.process import end_strangers, processes_in, spawn, stop
from embedded.readiness import wait_ready
from embedded.secrets import REDIS_PASSWORD, SecretsFolder
from embedded.wheel_programs import redis_program

SOCKET = "redis.sock"
# redis-py's own retries take seconds where we ask again in an instant.
NEVER_AGAIN = Retry(NoBackoff(), 0)
READY_SECONDS = 60.0  # a long append-only file takes its time to replay
STOP_STEPS = ((signal.SIGTERM, 15.0),)
LARGEST_LOG_BYTES = 10_000_000

# noeviction and an append-only file: a lost wake-up is only a delay, but an evicted quota is an open door.
SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "supervised": "no",
    "set-proc-title": "no",
    "databases": "16",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-min-size": "16mb",
    "save": '""',
    "loglevel": "notice",
    "always-show-logo": "no",
}
FORGETFUL = {"appendonly": "no"}


class RedisServer:
    """The Redis of one installation. Not started yet; ``start()`` or ``launch()`` does that."""

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        self._home = home
        self._durable = durable
        self._secrets = SecretsFolder(home.secrets)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._home.redis / "server.log"

    @property
    def url(self) -> str:
        """``unix://`` URL of database 0, as redis-py takes it."""
        password = quote(self._secrets.password(REDIS_PASSWORD), safe="")
        return f"unix://:{password}@{self._home.sockets() / SOCKET}?db=0"

    def start(self) -> None:
        """Launch and wait until it answers. Raises EmbeddedError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> subprocess.Popen[bytes]:
        """Begin to start: end what a killed parent left, then start the process, which is returned.

        Raises EmbeddedError when that cannot be done.
        """
        program = redis_program()
        self._home.create()
        try:
            self._home.redis.mkdir(mode=0o700, exist_ok=True)
            socket = self._home.sockets() / SOCKET
            self._end_leftovers()
            socket.unlink(missing_ok=True)
            if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
            settings = SETTINGS | ({} if self._durable else FORGETFUL) | {"unixsocket": str(socket)}
            lines = [f"{name} {value}" for name, value in settings.items()]
            lines.append(f"requirepass {self._secrets.password(REDIS_PASSWORD)}")
            write_private(self._home.redis / "redis.conf", "\n".join(lines) + "\n")
        except OSError as error:
            raise EmbeddedError(f"{error.filename}: {error.strerror}: run as the owner of SIGILO_HOME") from None
        self.process = spawn(
            [program, "redis.conf"],
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            folder=self._home.redis,
            log=self.log,
        )
        return self.process

    def wait_ready(self, check: Callable[[], None] = lambda: None) -> None:
        """Return once it answers; see ``embedded.readiness``. Raises EmbeddedError."""
        wait_ready(
            "Redis", self.process, self._answers, seconds=READY_SECONDS, log=self.log, last_words=self._last_words,
            check=check,
        )  # fmt: skip

    def stop(self) -> bool:
        """Stop cleanly, the append-only file written. Returns False when it had to be killed."""
        process, self.process = self.process, None
        return process is None or stop(process, STOP_STEPS)

    def destroy(self) -> None:
        """Stop and delete the data: for installations made by tests."""
        self.stop()
        shutil.rmtree(self._home.redis, ignore_errors=True)
        with suppress(OSError):
            (self._home.sockets() / SOCKET).unlink()
        self._home.leave_sockets()

    def _end_leftovers(self) -> None:
        steps = (*STOP_STEPS, (signal.SIGKILL, 5.0))
        if not end_strangers(lambda: processes_in(self._home.redis, "redis-server"), steps):
            raise EmbeddedError(f"another Redis works in {self._home.redis} and cannot be ended: stop it")

    def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=3, retry=NEVER_AGAIN)
        try:
            return bool(client.ping())
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            return False  # also BusyLoadingError, while the file is read
        finally:
            client.close()

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it said nothing"
