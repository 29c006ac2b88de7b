"""One Redis that nobody ever waits for: a short time-out, and silence for as long as it does not answer.

The first call that fails opens a circuit: later ones fail at once, without touching the network, until a background
thread has seen Redis answer again.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from integrations.redis_wire import RedisWire

TIMEOUT_SECONDS = 0.15
PROBE_SECONDS = 0.5


class StoreUnavailable(Exception):
    """Redis did not answer in time, or is known not to."""


class RedisLine:
    """Calls to one Redis. Threads share it; each has a connection of its own."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS, probe_interval: float = PROBE_SECONDS) -> None:
        # redis-py's own retries would turn the time-out into seconds.
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._timeout = timeout
        self._probe_interval = probe_interval
        self._local = threading.local()
        self._lock = threading.Lock()
        self._is_open = False  # the circuit: open means broken
        self._stopping = threading.Event()
        self._prober: threading.Thread | None = None

    @property
    def is_down(self) -> bool:
        """Whether calls fail at once because Redis did not answer lately."""
        return self._is_open

    def call(self, *command: str | int | bytes) -> Any:
        """Redis' answer to ``command``. Raises StoreUnavailable, at once while the circuit is open; NoScriptError for
        a script that Redis does not know."""
        if self._is_open:
            raise StoreUnavailable
        try:
            return self._call_again(command)
        except NoScriptError:
            raise
        except (RedisError, OSError) as error:
            self._drop_connection()
            self._break()
            raise StoreUnavailable from error
        except BaseException:  # a task's time is over, a process is to end: the answer may come yet
            self._drop_connection()
            raise

    def ping(self) -> float:
        """Milliseconds until Redis answered. Raises StoreUnavailable; never waits while the circuit is open."""
        if self._is_open:
            raise StoreUnavailable
        started = time.perf_counter()
        try:
            self._ping()
        except (RedisError, OSError) as error:
            self._break()
            raise StoreUnavailable from error
        return (time.perf_counter() - started) * 1000

    def close(self) -> None:
        """End the background thread and the connections."""
        self._stopping.set()
        if self._prober is not None:
            self._prober.join(timeout=5)
        self._pool.disconnect()

    def tell(self, is_down: bool) -> None:
        """The circuit was opened or closed; for those who count it."""

    def _client(self) -> redis.Redis:
        """For what is asked seldom: the library's own client over the same time-outs."""
        return redis.Redis(connection_pool=self._pool)

    def _call_again(self, command: tuple[str | int | bytes, ...]) -> Any:
        """Call, on a new connection when the old one was closed: a restarted Redis is no outage."""
        wire = getattr(self._local, "wire", None)
        if wire is not None:
            try:
                return wire.call(command)
            except (ConnectionLost, OSError):
                self._drop_connection()
        return self._connect().call(command)

    def _connect(self) -> RedisWire:
        """This thread's connection, kept out of the pool: taking it out and back costs more than the call."""
        wire = self._local.wire = RedisWire(self._pool.make_connection(), self._timeout)
        return wire

    def _drop_connection(self) -> None:
        """Forget a connection whose late answer could be taken for the next one."""
        wire = getattr(self._local, "wire", None)
        self._local.wire = None
        if wire is not None:
            wire.close()

    def _ping(self) -> None:
        self._client().ping()

    def _break(self) -> None:
        with self._lock:
            if self._is_open or self._stopping.is_set():
                return
            self._is_open = True
            self.tell(True)
            self._prober = threading.Thread(target=self._probe, name="redis-probe", daemon=True)
            self._prober.start()

    def _probe(self) -> None:
        """Ask until Redis answers, then close the circuit: no request ever waits for the attempt."""
        while not self._stopping.wait(self._probe_interval):
            try:
                self._ping()
            except (RedisError, OSError):
                continue
            self._is_open = False
            self.tell(False)
            return
