"""How a process' connection pools are used, by principal: an engine's pool can run out, and then requests wait.

Audited reads do not appear: their connections are made when they are wanted (models/raw_connections.py), and nobody
waits for one.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SIZE = Gauge(
    "sigilo_db_pool_size", "Connections that the pool may open, over all processes", ["principal"],
    multiprocess_mode="livesum",
)  # fmt: skip
IN_USE = Gauge(
    "sigilo_db_pool_in_use", "Connections of the pool that somebody has right now", ["principal"],
    multiprocess_mode="livesum",
)  # fmt: skip
TIMEOUTS = Counter("sigilo_db_pool_timeouts_total", "Waits for a connection that were given up", ["principal"])
WAIT = Histogram(
    "sigilo_db_pool_wait_seconds",
    "Until the pool gave a connection, the making of it included",
    ["principal"],
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5),
)


class PoolMetrics:
    """One pool's numbers; what ``models.engine.PoolWatch`` asks for."""

    def __init__(self, principal: str) -> None:
        self._size = SIZE.labels(principal)
        self._in_use = IN_USE.labels(principal)
        self._timeouts = TIMEOUTS.labels(principal)
        self._wait = WAIT.labels(principal)

    def may_open(self, connections: int) -> None:
        self._size.set(connections)

    def in_use(self, connections: int) -> None:
        self._in_use.set(connections)

    def waited(self, seconds: float) -> None:
        self._wait.observe(seconds)

    def timed_out(self) -> None:
        self._timeouts.inc()
