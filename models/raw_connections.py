"""Raw connections for reads whose every statement is its own transaction, kept between uses.

SQLAlchemy's pool takes 36 µs to give a connection and take it back, a tenth of an audited list's Python; psycopg's
own pool takes 8, but makes everybody wait for its time-out while the server is away. This one connects where it
is asked, so a server that is away is an error at once, and it holds as many as threads ever asked for together.

No connection grows old: a server's process keeps what it once cached, and one behind a name that now means another
machine would be talked to for ever.
"""

from __future__ import annotations

import random
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from models.raw_connection import RawConnection

Connect = Callable[[], RawConnection]
Clock = Callable[[], float]
MAX_AGE_SECONDS = 1800.0
YOUNGEST = 0.75  # of the age: connections made together do not all end together


class RawConnections:
    """Autocommit connections of one principal; the one used last is given out first. Threads share it."""

    def __init__(
        self, connect: Connect, *, keep: int, max_age: float = MAX_AGE_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        """``keep``: how many may lie idle; what comes back beyond that is closed, as is what lived ``max_age``
        seconds by ``clock``, a little less for some."""
        self._connect = connect
        self._keep = keep
        self._max_age = max_age
        self._clock = clock
        self._idle: deque[RawConnection] = deque()  # its ends are safe to use from any thread

    def take(self) -> RawConnection:
        """An idle connection, else a new one. Raises psycopg.OperationalError when the server can't be reached."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if not self._is_old(connection) and not is_closed_by_server(connection):
                return connection
            connection.close()
        connection = self._connect()
        connection.ends_at = self._clock() + self._max_age * random.uniform(YOUNGEST, 1.0)  # noqa: S311  (no secret)
        connection.autocommit = True
        connection.prepare_threshold = None
        return connection

    def give_back(self, connection: RawConnection) -> None:
        """Keep ``connection`` for the next one, without what its user may have left open."""
        try:
            if not connection.closed and connection.pgconn.transaction_status != TransactionStatus.IDLE:
                connection.rollback()
        except psycopg.Error:
            connection.close()
        if connection.closed:
            return
        if len(self._idle) < self._keep and not self._is_old(connection):
            self._idle.append(connection)
        else:
            connection.close()

    def __len__(self) -> int:
        """How many lie idle."""
        return len(self._idle)

    def drop_oldest(self) -> None:
        """Close the connection that lay idle longest, if there is one."""
        try:
            self._idle.popleft().close()
        except IndexError:
            return

    def close(self) -> None:
        while self._idle:
            self.drop_oldest()

    def _is_old(self, connection: RawConnection) -> bool:
        return self._clock() >= connection.ends_at


def is_closed_by_server(connection: psycopg.Connection[Any]) -> bool:
    """An idle connection has nothing to say: if its socket is readable, what it says is goodbye. Asks nobody."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poller.poll(0))
