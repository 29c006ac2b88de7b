"""A server that is gone is noticed, by every connection of ours, and long before TCP would.

Between them and the server stands a relay whose sockets can be made to lose whatever comes in, acknowledgements
included: as where a machine lost its power or its cable."""

from __future__ import annotations

import ctypes
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from models.connection import GONE, connect
from models.engine import make_connect
from models.raw_connection import RawConnection
from tests.servers import DatabaseServer

ROOT = Path(__file__).resolve().parent.parent.parent
SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET: of each packet, keep nothing
# What talks to the installation's database, and not only to a server beside it while that is set up.
TALKING = ("services", "tasks", "backups", "web", "models")


def may_drop_packets() -> bool:
    """Some kernels let only root give a socket a filter; others let anybody."""
    with socket.socket() as trial:
        try:
            _drop_all(trial)
        except PermissionError:
            return False
    return True


def _drop_all(line: socket.socket) -> None:
    buffer = ctypes.create_string_buffer(DROP_ALL)
    line.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(buffer)))


class Relay:
    """Passes bytes to the server's Unix socket and back, until it loses them."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._fronts: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self) -> None:
        """Whatever its clients send from now on is lost."""
        for front in self._fronts:
            _drop_all(front)

    def close(self) -> None:
        self._listener.close()
        for front in self._fronts:
            with suppress(OSError):
                front.shutdown(socket.SHUT_RDWR)  # whoever waits for it wakes
            front.close()

    def _accept(self) -> None:
        while True:
            try:
                front, _ = self._listener.accept()
            except OSError:
                return
            self._fronts.append(front)
            back = socket.socket(socket.AF_UNIX)
            back.connect(self._target)
            threading.Thread(target=_pass, args=(front, back), daemon=True).start()


def _pass(front: socket.socket, back: socket.socket) -> None:
    with back:
        while True:
            try:
                for ready in select.select([front, back], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    (back if ready is front else front).sendall(data)
            except (OSError, ValueError):
                return


@contextmanager
def relayed(url: str) -> Iterator[tuple[str, Relay]]:
    """A URL that leads to the same server through a relay, and that relay."""
    parts = conninfo_to_dict(url)
    relay = Relay(f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}")
    try:
        yield make_conninfo(url, host="127.0.0.1", port=relay.port, sslmode="disable", gssencmode="disable"), relay
    finally:
        relay.close()


WAYS: dict[str, Callable[[str], psycopg.Connection[Any]]] = {
    "alone": lambda url: connect(url, autocommit=True),
    "pooled": lambda url: make_connect(psycopg.Connection, url)(),
    "raw": lambda url: make_connect(RawConnection, url)(),
}


@pytest.mark.skipif(not may_drop_packets(), reason="on this kernel only root may have a socket lose its packets")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_waiting", [False, True], ids=["speaking", "waiting"])
def test_a_server_that_is_gone_is_noticed(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch, way: str, is_waiting: bool
) -> None:
    """Whether something is said to it, or it is waited for. With the time-outs of a test."""
    for name, value in {"tcp_user_timeout": 1_000, "keepalives_idle": 1, "keepalives_interval": 1}.items():
        monkeypatch.setitem(GONE, name, value)
    with relayed(server.superuser_url("postgres")) as (url, relay), WAYS[way](url) as connection:
        connection.execute("SELECT 1")
        soon = threading.Timer(0.5, relay.lose)
        if is_waiting:
            soon.start()
        else:
            relay.lose()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(10)")
        assert connection.closed


@pytest.mark.parametrize("way", WAYS)
def test_and_within_half_a_minute(server: DatabaseServer, way: str) -> None:
    with relayed(server.superuser_url("postgres")) as (url, _), WAYS[way](url) as connection:
        line = socket.socket(fileno=connection.fileno())
        says = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        idle, interval, count = (
            line.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        is_alive = line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        line.detach()  # it is libpq's
    assert 0 < says <= 10
    assert is_alive
    assert idle + interval * count <= 30


def test_nothing_connects_in_another_way() -> None:
    apart = {ROOT / "models" / "connection.py", ROOT / "models" / "engine.py"}
    sources = [path for place in TALKING for path in (ROOT / place).rglob("*.py")] + [ROOT / "cli_backup.py"]
    assert len(sources) > 100
    found = [
        path.name for path in sources
        if path not in apart and re.search(r"psycopg\.(?:Connection\.)?connect\(", path.read_text(encoding="utf-8"))
    ]  # fmt: skip
    assert found == []
