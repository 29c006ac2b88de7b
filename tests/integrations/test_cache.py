"""The cache in a real Redis: what it keeps, what it tells, and that nobody waits for it."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import REGISTRY

from embedded.home import Home
from embedded.redis import RedisServer
from integrations.cache import VALUE_BYTES_MAX, Kind, NoCache, RedisCache, make_cache
from integrations.redis_line import TIMEOUT_SECONDS

SECRET = "a secret of the installation, 32 characters or more"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be stopped and killed."""
    server = RedisServer(Home(tmp_path), durable=False)
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.process.send_signal(signal.SIGCONT)
    server.destroy()


@pytest.fixture
def cache(own_redis: RedisServer) -> Iterator[RedisCache]:
    made = RedisCache(own_redis.url, SECRET, probe_interval=0.05)
    yield made
    made.close()


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


def test_what_was_put_is_found_until_its_time_is_over(cache: RedisCache, own_redis: RedisServer) -> None:
    assert cache.get(Kind.CID10, "asma") is None
    cache.put(Kind.CID10, "asma", b"J45.9", 60)
    assert cache.get(Kind.CID10, "asma") == b"J45.9"
    assert cache.get(Kind.FIGURES, "asma") is None, "each kind by itself"
    assert cache.get(Kind.CID10, "Asma") is None
    server: Any = redis.Redis.from_url(own_redis.url)
    (name,) = server.keys("sigilo:cache:*")
    assert 0 < server.ttl(name) <= 60
    server.pexpire(name, 1)
    wait_for(lambda: cache.get(Kind.CID10, "asma") is None)


def test_nothing_is_kept_for_no_time_or_beyond_its_size(cache: RedisCache, own_redis: RedisServer) -> None:
    cache.put(Kind.FIGURES, "none", b"x", 0)
    cache.put(Kind.FIGURES, "large", bytes(VALUE_BYTES_MAX + 1), 60)
    assert redis.Redis.from_url(own_redis.url).dbsize() == 0


def test_a_stolen_cache_tells_neither_what_was_asked_nor_what_was_answered(
    cache: RedisCache, own_redis: RedisServer
) -> None:
    cache.put(Kind.CID10, "esquizofrenia paranoide", b"F20.0 Esquizofrenia", 60)
    server: Any = redis.Redis.from_url(own_redis.url)
    everything = b"".join(name + (server.get(name) or b"") for name in server.scan_iter())
    for told in (b"esquizofrenia", b"F20", b"Esquizo"):
        assert told not in everything
    thief = RedisCache(own_redis.url, "another secret, which is also 32 characters long")
    assert thief.get(Kind.CID10, "esquizofrenia paranoide") is None
    thief.close()


def test_nobody_without_the_secret_makes_an_answer_up(cache: RedisCache, own_redis: RedisServer) -> None:
    cache.put(Kind.TOKEN, "one", b"a doctor", 60)
    server: Any = redis.Redis.from_url(own_redis.url)
    (one,) = server.keys()
    cache.put(Kind.TOKEN, "other", b"a clerk", 60)
    (other,) = set(server.keys()) - {one}
    server.set(other, server.get(one) or b"")
    assert cache.get(Kind.TOKEN, "other") is None, "bound to what it answers"
    for made_up in (b"", b"x", b"a doctor", os.urandom(64)):
        server.set(other, made_up)
        assert cache.get(Kind.TOKEN, "other") is None
    assert cache.get(Kind.TOKEN, "one") == b"a doctor"


def test_a_cache_that_is_gone_is_missed_by_nobody(cache: RedisCache, own_redis: RedisServer) -> None:
    cache.put(Kind.CID10, "asma", b"J45.9", 60)
    own_redis.stop()
    assert cache.get(Kind.CID10, "asma") is None
    assert cache.is_down
    started = time.perf_counter()
    for _ in range(1000):
        assert cache.get(Kind.CID10, "asma") is None
        cache.put(Kind.CID10, "asma", b"J45.9", 60)
    assert time.perf_counter() - started < TIMEOUT_SECONDS * 10
    own_redis.start()
    wait_for(lambda: not cache.is_down)
    cache.put(Kind.CID10, "asma", b"J45.9", 60)
    assert cache.get(Kind.CID10, "asma") == b"J45.9"


def test_a_hung_cache_delays_one_look_up_and_no_other(cache: RedisCache, own_redis: RedisServer) -> None:
    assert own_redis.process is not None
    cache.put(Kind.CID10, "asma", b"J45.9", 60)
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    started = time.perf_counter()
    assert cache.get(Kind.CID10, "asma") is None
    assert TIMEOUT_SECONDS <= time.perf_counter() - started < 1.0
    started = time.perf_counter()
    assert [cache.get(Kind.CID10, "asma") for _ in range(200)] == [None] * 200
    assert time.perf_counter() - started < TIMEOUT_SECONDS * 3
    os.kill(own_redis.process.pid, signal.SIGCONT)
    wait_for(lambda: cache.get(Kind.CID10, "asma") == b"J45.9")


def test_a_full_cache_forgets_or_refuses_and_never_fails(cache: RedisCache, own_redis: RedisServer) -> None:
    server: Any = redis.Redis.from_url(own_redis.url)
    for policy in ("noeviction", "allkeys-lru"):
        server.config_set("maxmemory-policy", policy)
        server.config_set("maxmemory", "3mb")
        for number in range(100):
            cache.put(Kind.FIGURES, f"{policy} {number}", os.urandom(VALUE_BYTES_MAX - 1000), 60)
            cache.get(Kind.FIGURES, f"{policy} {number}")
        server.config_set("maxmemory", "0")
        wait_for(lambda: not cache.is_down)


def test_look_ups_are_counted_by_their_outcome(cache: RedisCache, own_redis: RedisServer) -> None:
    def counted(outcome: str) -> float:
        return REGISTRY.get_sample_value("sigilo_cache_lookups_total", {"kind": "figures", "outcome": outcome}) or 0.0

    before = {outcome: counted(outcome) for outcome in ("hit", "miss", "away")}
    asked = uuid.uuid4().hex
    cache.get(Kind.FIGURES, asked)
    cache.put(Kind.FIGURES, asked, b"1", 60)
    cache.get(Kind.FIGURES, asked)
    own_redis.stop()
    cache.get(Kind.FIGURES, asked)
    assert {outcome: counted(outcome) - before[outcome] for outcome in before} == {"hit": 1, "miss": 1, "away": 1}
    assert REGISTRY.get_sample_value("sigilo_cache_degraded") == 1


def test_there_may_be_no_cache() -> None:
    cache = make_cache("", SECRET)
    assert isinstance(cache, NoCache)
    cache.put(Kind.CID10, "asma", b"J45.9", 60)
    assert cache.get(Kind.CID10, "asma") is None
    cache.close()
