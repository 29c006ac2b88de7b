"""What `sigilo doctor` asks Redis: the broker's, which must forget nothing, and the cache's, which should."""

from __future__ import annotations

from typing import Any

import redis

from config import Settings
from embedded.errors import TroubleError
from embedded.redis import NEVER_AGAIN

OLDEST_REDIS = (6, 2)


def redis_state(settings: Settings) -> str:
    info = _info(settings.redis_url.get_secret_value())
    version, policy = str(info["redis_version"]), info["maxmemory_policy"]
    if tuple(map(int, version.split(".")[:2])) < OLDEST_REDIS:
        raise TroubleError(f"{version} is too old: use Redis 6.2 or newer")
    if policy != "noeviction":
        raise TroubleError(f"maxmemory-policy is {policy}, which forgets quotas and wake-ups: set it to noeviction")
    return f"{version}, noeviction"


def cache_state(settings: Settings) -> str:
    """A Redis of the cache's own: it forgets what is oldest when it is full."""
    info = _info(settings.cache_address)
    if info["run_id"] == _info(settings.redis_url.get_secret_value())["run_id"]:
        return "in the Redis of REDIS_URL"
    policy, size = str(info["maxmemory_policy"]), int(info["maxmemory"])
    if not size or not policy.startswith("allkeys-"):
        raise TroubleError(
            f"it has maxmemory {size} and maxmemory-policy {policy}, so it grows or refuses: set maxmemory 64mb and"
            " maxmemory-policy allkeys-lru"
        )
    return f"{size >> 20} MiB, {policy}"


def _info(url: str) -> dict[str, Any]:
    client = redis.Redis.from_url(url, socket_timeout=3, retry=NEVER_AGAIN)
    try:
        return client.info()  # type: ignore[return-value]
    finally:
        client.close()
