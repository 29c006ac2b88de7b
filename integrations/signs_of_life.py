"""Workers say which queues they serve, every few seconds, in the Redis that they take their work from.

A sign is gone by itself when its worker is: killed, hung with its machine, or cut off from Redis. It proves that
somebody is there; whether the work gets done, the rows that wait for it say.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from integrations.broker import QUEUES
from integrations.redis_store import RedisStore

EVERY_SECONDS = 3.0
KEPT_SECONDS = 15  # five signs: a slow moment of the machine is no death
TIMEOUT_SECONDS = 2.0


def give_signs(redis_url: str, queues: Sequence[str], until: threading.Event) -> None:
    """Say that ``queues`` are served, until ``until`` is set. While Redis is away, nobody is told."""
    client = redis.Redis.from_url(
        redis_url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0)
    )
    while True:
        with suppress(RedisError, OSError), client.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.set(_key(queue), 1, ex=KEPT_SECONDS)
            pipeline.execute()
        if until.wait(EVERY_SECONDS):
            client.close()
            return


def unserved(store: RedisStore) -> list[str]:
    """The queues that no worker serves. Raises StoreUnavailable."""
    there = store.present([_key(queue) for queue in QUEUES])
    return [queue for queue, is_served in zip(QUEUES, there, strict=True) if not is_served]


def _key(queue: str) -> str:
    return f"sigilo:serves:{queue}"
