"""Counting requests in Redis: one atomic script call a request, and no waiting when Redis is away.

A window starts with its first request and lasts its whole length, so of any number of simultaneous requests
exactly the quota passes. The first call that fails opens a circuit: later ones fail at once, without
touching the network, until a background thread has seen Redis answer again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from observability.metrics import QUOTA_DEGRADED
from observability.tracing import child_span

TIMEOUT_SECONDS = 0.15
PROBE_SECONDS = 0.5

# KEYS[1]: the window's counter; ARGV[1]: its length in ms. Gives {requests so far, ms until it ends}.
SCRIPT = """
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
"""
# Of a span: the key names who calls, so it is not among them.
ABOUT = {"db.system.name": "redis", "db.operation.name": "EVALSHA"}
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class StoreUnavailable(Exception):
    """Redis did not answer in time, or is known not to."""


@dataclass(frozen=True, slots=True)
class Window:
    """``count`` requests in a window that ends in ``left_ms`` milliseconds."""

    count: int
    left_ms: int


class RedisStore:
    """A counter store over one Redis. Threads share it; each has a connection of its own."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS, probe_interval: float = PROBE_SECONDS) -> None:
        # redis-py's own retries would turn the time-out into seconds.
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
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

    def count(self, key: str, window_ms: int) -> Window:
        """Count one request in ``key``'s window. Raises StoreUnavailable, at once while the circuit is open."""
        if self._is_open:
            raise StoreUnavailable
        try:
            with child_span("EVALSHA", ABOUT):
                count, left = self._call_again(key, window_ms)
        except (RedisError, OSError) as error:
            self._drop_connection()
            self._break()
            raise StoreUnavailable from error
        return Window(int(count), max(1, int(left)))

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

    def version(self) -> str | None:
        """Which Redis answers; None when none does, or it does not say."""
        if self._is_open:
            return None
        try:
            found: Any = redis.Redis(connection_pool=self._pool).info("server")
        except (RedisError, OSError):
            return None
        return str(found["redis_version"]) if "redis_version" in found else None

    def present(self, keys: Sequence[str]) -> list[bool]:
        """Which of ``keys`` there are. Raises StoreUnavailable, at once while the circuit is open."""
        if self._is_open:
            raise StoreUnavailable
        try:
            found: Any = redis.Redis(connection_pool=self._pool).mget(keys)
        except (RedisError, OSError) as error:
            self._break()
            raise StoreUnavailable from error
        return [value is not None for value in found]

    def close(self) -> None:
        """End the background thread and the connections."""
        self._stopping.set()
        if self._prober is not None:
            self._prober.join(timeout=5)
        self._pool.disconnect()

    def _call_again(self, key: str, window_ms: int) -> list[Any]:
        """Call, on a new connection when the old one was closed: a restarted Redis is no outage."""
        is_new = getattr(self._local, "connection", None) is None
        try:
            return self._call(key, window_ms)
        except (ConnectionLost, OSError):
            if is_new:
                raise
            self._drop_connection()
            return self._call(key, window_ms)

    def _call(self, key: str, window_ms: int) -> list[Any]:
        connection = self._connection()
        connection.send_command("EVALSHA", SCRIPT_SHA, 1, key, window_ms, check_health=False)
        try:
            return connection.read_response()  # type: ignore[no-any-return]
        except NoScriptError:
            connection.send_command("EVAL", SCRIPT, 1, key, window_ms, check_health=False)
            return connection.read_response()  # type: ignore[no-any-return]

    def _connection(self) -> Any:
        """This thread's connection, kept out of the pool: taking it out and back costs more than the call."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._pool.make_connection()
            connection.connect()  # type: ignore[no-untyped-call]
            self._local.connection = connection
        return connection

    def _drop_connection(self) -> None:
        """Forget a connection whose late answer could be taken for the next one."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.disconnect()

    def _ping(self) -> None:
        client = redis.Redis(connection_pool=self._pool)
        client.ping()

    def _break(self) -> None:
        with self._lock:
            if self._is_open or self._stopping.is_set():
                return
            self._is_open = True
            QUOTA_DEGRADED.set(1)
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
            QUOTA_DEGRADED.set(0)
            return
