"""How full the workers' queues are: Redis' lists, read without taking anything."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from integrations.broker import QUEUES, SENT, TIMEOUT_SECONDS, BrokerUnavailable


class Queues:
    """A reader of its own connection, made at first use. Threads share it."""

    def __init__(self, redis_url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )

    def depths_and_ages(self) -> tuple[dict[str, float], dict[str, float]]:
        """By queue: messages that wait, and seconds since the one was sent that waits longest (0 without one, or when
        it does not say). Raises BrokerUnavailable."""
        pipeline = self._redis.pipeline(transaction=False)
        for queue in QUEUES:
            pipeline.llen(queue)
            pipeline.lindex(queue, -1)  # new ones are pushed to the left
        try:
            answers: list[Any] = pipeline.execute()
        except (RedisError, OSError) as error:
            raise BrokerUnavailable from error
        depths = dict(zip(QUEUES, map(float, answers[::2]), strict=True))
        return depths, dict(zip(QUEUES, map(_age, answers[1::2]), strict=True))

    def close(self) -> None:
        self._redis.close()


def _age(message: bytes | None) -> float:
    try:
        headers: Mapping[str, Any] = json.loads(message or b"{}").get("headers", {})
        return max(0.0, time.time() - float(headers[SENT]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0.0
