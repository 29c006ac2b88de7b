"""Raw connections for reads whose every statement is its own transaction, kept between uses.

SQLAlchemy's pool takes 36 µs to give a connection and take it back, a tenth of an audited list's Python; psycopg's
own pool takes 8, but makes everybody wait for its time-out while the server is away. This one connects where it
is asked, so a server that is away is an error at once, and it holds as many as threads ever asked for together.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from models.raw_connection import RawConnection

Connect = Callable[[], RawConnection]


class RawConnections:
    """Autocommit connections of one principal; the one used last is given out first. Threads share it."""

    def __init__(self, connect: Connect, *, keep: int) -> None:
        """``keep``: how many may lie idle; what comes back beyond that is closed."""
        self._connect = connect
        self._keep = keep
        self._idle: deque[RawConnection] = deque()  # its ends are safe to use from any thread

    def take(self) -> RawConnection:
        """An idle connection, else a new one. Raises psycopg.OperationalError when the server can't be reached."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if not is_closed_by_server(connection):
                return connection
            connection.close()
        connection = self._connect()
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
        if len(self._idle) < self._keep:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def is_closed_by_server(connection: psycopg.Connection[Any]) -> bool:
    """An idle connection has nothing to say: if its socket is readable, what it says is goodbye. Asks nobody."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poller.poll(0))
