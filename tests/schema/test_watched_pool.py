"""What a pool says of itself: its limit, what is in use, how long it was waited for, and when nobody waits any more."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import Principal
from models.engine import Databases, make_engine
from tests.servers import DatabaseServer


class Noted:
    def __init__(self) -> None:
        self.limit = 0
        self.now = -1
        self.waits: list[float] = []
        self.timeouts = 0

    def may_open(self, connections: int) -> None:
        self.limit = connections

    def in_use(self, connections: int) -> None:
        self.now = connections

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def timed_out(self) -> None:
        self.timeouts += 1


def test_a_pool_says_what_is_in_use_and_who_waits_in_vain(
    server: DatabaseServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = Noted()
    engine = make_engine(server.urls(database)[Principal.STAFF], pool_size=1, watch=noted)
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)
    assert (noted.limit, noted.now) == (3, 0)
    with engine.connect(), engine.connect(), engine.connect():
        assert noted.now == 3
        with pytest.raises(PoolTimeout):
            engine.connect()
        assert (noted.timeouts, len(noted.waits)) == (1, 3)
    assert noted.now == 0
    with engine.connect() as connection:
        connection.invalidate()
    assert noted.now == 0, "also of one that broke"
    engine.dispose()
    with engine.connect():
        assert (noted.now, noted.limit) == (1, 3), "and after a new beginning"
    engine.dispose()


def test_what_many_threads_leave_behind_is_nothing(server: DatabaseServer, database: str) -> None:
    noted: dict[str, Noted] = {}
    databases = Databases(
        server.urls(database), pool_size=4, watch=lambda principal: noted.setdefault(principal, Noted())
    )

    def use() -> None:
        for _ in range(20):
            with databases.session(Principal.STAFF) as session:
                session.execute(text("SELECT 1"))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(noted) == {Principal.STAFF}
    assert (noted[Principal.STAFF].now, len(noted[Principal.STAFF].waits)) == (0, 80)
    databases.dispose()
