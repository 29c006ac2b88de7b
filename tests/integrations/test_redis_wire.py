"""One connection to a real Redis: what it gives, what it raises, and how long it waits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.connection import ConnectionPool
from redis.exceptions import AuthenticationError, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as TookTooLong

from embedded.home import Home
from embedded.redis import RedisServer
from integrations.redis_line import RedisLine
from integrations.redis_wire import AT_ONCE, RedisWire

SECONDS = 1.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    made = RedisServer(Home(tmp_path_factory.mktemp("wire")), durable=False)
    made.start()
    yield made
    made.destroy()


def connect(url: str) -> RedisWire:
    return RedisWire(ConnectionPool.from_url(url).make_connection(), SECONDS)


@pytest.fixture
def wire(server: RedisServer) -> Iterator[RedisWire]:
    made = connect(server.url)
    yield made
    made.close()


def test_answers_of_every_kind(wire: RedisWire) -> None:
    assert wire.call(("SET", "açaí", b"\0\xff")) == b"OK"
    assert wire.call(("GET", "açaí")) == b"\0\xff"
    assert wire.call(("GET", "nothing")) is None
    assert wire.call(("INCRBY", "count", 7)) == 7
    assert wire.call(("MGET", "count", "nothing", "açaí")) == [b"7", None, b"\0\xff"]


def test_an_answer_of_many_pieces(wire: RedisWire) -> None:
    long = os.urandom(20 * AT_ONCE)
    assert wire.call(("SET", "long", long)) == b"OK"
    assert wire.call(("MGET", "long", "long")) == [long, long]
    assert wire.call(("STRLEN", "long")) == len(long), "and nothing of it is left over"


def test_what_redis_refuses_is_raised_and_the_next_call_works(wire: RedisWire) -> None:
    with pytest.raises(NoScriptError):
        wire.call(("EVALSHA", "0" * 40, 0))
    with pytest.raises(ResponseError, match="unknown command"):
        wire.call(("NOTHING",))
    assert wire.call(("ECHO", "again")) == b"again"


def test_a_hung_redis_is_waited_for_once_and_no_longer(server: RedisServer, wire: RedisWire) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(TookTooLong):
            wire.call(("ECHO", "x"))
        assert SECONDS * 0.9 <= time.monotonic() - started < SECONDS * 1.9, "not twice"
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_a_connection_that_redis_closed_is_said_to_be_lost(server: RedisServer, wire: RedisWire) -> None:
    other = connect(server.url)
    other.call(("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
    with pytest.raises((ConnectionLost, OSError)) as raised:
        wire.call(("ECHO", "x"))
    assert not isinstance(raised.value, TookTooLong | ResponseError)
    other.close()


class Interrupted(BaseException):
    """What the end of a task's time or of a process is: raised wherever the thread stands."""


def test_an_answer_that_was_not_waited_for_is_not_the_next_ones(server: RedisServer) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    line = RedisLine(server.url, timeout=10)
    assert line.call("ECHO", "first") == b"first"
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            line.call("ECHO", "second")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.kill(server.process.pid, signal.SIGCONT)
    assert line.call("ECHO", "third") == b"third"
    line.close()


def test_a_wrong_password_is_refused(server: RedisServer) -> None:
    scheme, _, rest = server.url.partition("://")
    with pytest.raises((AuthenticationError, ConnectionLost, ResponseError)):
        connect(f"{scheme}://:wrong@{rest.rpartition('@')[2]}").call(("ECHO", "x"))


def test_a_redis_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        connect(f"unix://{tmp_path}/nobody")
