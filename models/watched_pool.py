"""SQLAlchemy's own pool, saying how it is used to whoever wants to know."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import Protocol

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool


class PoolWatch(Protocol):
    """What one pool says: connections, and seconds."""

    def may_open(self, connections: int) -> None: ...

    def in_use(self, connections: int) -> None: ...

    def waited(self, seconds: float) -> None: ...

    def timed_out(self) -> None: ...


class WatchedPool(QueuePool):
    """Quiet until ``begin``. What is in use is looked up at every change, under a lock: the last to look is right."""

    __module__ = QueuePool.__module__  # its lines of log are the library's, and as quiet
    watch: PoolWatch | None = None
    _looking: threading.Lock

    def begin(self, watch: PoolWatch) -> None:
        self._looking = threading.Lock()
        self.watch = watch
        watch.may_open(self.size() + self._max_overflow)
        self._look()

    def connect(self) -> PoolProxiedConnection:
        watch = self.watch
        if watch is None:
            return super().connect()
        started = perf_counter()
        try:
            connection = super().connect()
        except PoolTimeout:
            watch.timed_out()
            raise
        watch.waited(perf_counter() - started)
        self._look()
        return connection

    def recreate(self) -> QueuePool:
        made = super().recreate()
        if self.watch is not None and isinstance(made, WatchedPool):
            made.begin(self.watch)
        return made

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        self._look()

    def _look(self) -> None:
        if self.watch is not None:
            with self._looking:
                self.watch.in_use(self.checkedout())
