"""What `sigilo doctor` says of the two Redis, or of the one that is both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from config import Settings
from embedded.errors import TroubleError
from embedded.home import Home
from embedded.redis import RedisServer
from embedded.redis_checks import cache_state, redis_state


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(Home(tmp_path), durable=False)
    server.start()
    yield server
    server.destroy()


def test_the_cache_may_be_where_the_broker_is(settings: Settings) -> None:
    given = settings.model_copy(update={"cache_url": settings.redis_url})
    assert cache_state(given) == "in the Redis of REDIS_URL"
    assert redis_state(given).endswith("noeviction")


def test_a_cache_of_its_own_forgets_what_is_oldest(settings: Settings, own: RedisServer) -> None:
    given = settings.model_copy(update={"cache_url": SecretStr(own.url)})
    server = redis.Redis.from_url(own.url)
    for policy, size in (("noeviction", "64mb"), ("allkeys-lru", "0")):
        server.config_set("maxmemory-policy", policy)
        server.config_set("maxmemory", size)
        with pytest.raises(TroubleError, match="set maxmemory 64mb and maxmemory-policy allkeys-lru"):
            cache_state(given)
    server.config_set("maxmemory", "64mb")
    assert cache_state(given) == "64 MiB, allkeys-lru"


def test_a_broker_that_forgets_is_trouble(settings: Settings, own: RedisServer) -> None:
    redis.Redis.from_url(own.url).config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(TroubleError, match="which forgets quotas and wake-ups"):
        redis_state(settings.model_copy(update={"redis_url": SecretStr(own.url)}))


def test_a_cache_that_does_not_answer_says_so(settings: Settings, own: RedisServer) -> None:
    own.stop()
    with pytest.raises(redis.exceptions.RedisError):
        cache_state(settings.model_copy(update={"cache_url": SecretStr(own.url)}))


@pytest.mark.parametrize(("given", "expected"), [("", True), ("off", False), ("redis://cache:6379/0", True)])
def test_where_the_cache_is(settings: Settings, given: str, expected: bool) -> None:
    address = settings.model_copy(update={"cache_url": SecretStr(given)}).cache_address
    assert bool(address) is expected
    assert address in ("", settings.redis_url.get_secret_value(), given)
