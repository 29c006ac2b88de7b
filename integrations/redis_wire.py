"""One connection to Redis for what every request asks: redis-py makes it, hiredis alone speaks on it.

redis-py's own way takes some 40 µs of Python more a call, because it can do so much more: retries, health checks,
pushed messages. What it knows of the address (TLS, password, database) is used here, and its errors.
"""

from __future__ import annotations

import math
import socket
import ssl
import struct
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError
from redis.exceptions import TimeoutError as TookTooLong

AT_ONCE = 16_384  # bytes
NOT_YET = object()


class RedisWire:
    """For one thread at a time. After any error but a ResponseError it is of no use: a late answer would be taken for
    that to the next call."""

    def __init__(self, connection: Any, timeout: float) -> None:
        """Connects ``connection``, one of redis-py's. ``timeout``: seconds that one call may wait to send, and to
        receive. Raises RedisError, OSError."""
        connection.connect()
        self._connection = connection
        self._socket: socket.socket = connection._sock
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=_error, notEnoughData=NOT_YET)
        if not isinstance(self._socket, ssl.SSLSocket):
            _let_the_kernel_wait(self._socket, timeout)

    def call(self, command: tuple[str | int | bytes, ...]) -> Any:
        """Redis' answer. Raises RedisError, OSError."""
        try:
            # Its stub says one word; it takes any number.
            self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
            answer = self._reader.gets()
            while answer is NOT_YET:
                received = self._socket.recv(AT_ONCE)
                if not received:
                    raise ConnectionLost("Redis closed the connection")
                self._reader.feed(received)
                answer = self._reader.gets()
        except (BlockingIOError, TimeoutError) as error:
            raise TookTooLong from error
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    def close(self) -> None:
        self._connection.disconnect()


def _error(said: str) -> ResponseError:
    return NoScriptError(said) if said.startswith("NOSCRIPT") else ResponseError(said)


def _let_the_kernel_wait(connected: socket.socket, seconds: float) -> None:
    """The time-out as the socket's own: Python's asks the kernel before each step whether it would have to wait."""
    part, whole = math.modf(seconds)
    moment = struct.pack("ll", int(whole), int(part * 1_000_000))  # struct timeval
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, moment)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, moment)
    connected.settimeout(None)
