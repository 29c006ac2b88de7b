"""Installations of these tests' own: servers are started, killed and started again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.home import Home
from embedded.postgres import PostgresServer
from embedded.redis import RedisServer

MakePostgres = Callable[..., PostgresServer]
MakeRedis = Callable[[Home], RedisServer]


@pytest.fixture
def own_home(tmp_path: Path) -> Home:
    return Home(tmp_path / "var")


@pytest.fixture
def make_postgres() -> Iterator[MakePostgres]:
    """Makes servers, not started yet, whose data is deleted at the end."""
    made: list[PostgresServer] = []

    def make(home: Home, *, durable: bool = False, programs: Path | None = None) -> PostgresServer:
        made.append(PostgresServer(home, durable=durable, programs=programs))
        return made[-1]

    yield make
    for server in made:
        server.destroy()


@pytest.fixture
def make_redis() -> Iterator[MakeRedis]:
    made: list[RedisServer] = []

    def make(home: Home) -> RedisServer:
        made.append(RedisServer(home))
        return made[-1]

    yield make
    for server in made:
        server.destroy()
