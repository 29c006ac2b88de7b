"""How full the queues are, as the scraped web server reads them: without taking anything out."""

from __future__ import annotations

import json
import time

import pytest
import redis

from integrations.broker import QUEUES, SENT, BrokerUnavailable, Publisher
from integrations.queues import Queues


def test_what_waits_is_counted_and_its_oldest_message_has_an_age(stoppable_url: str, broker: redis.Redis) -> None:
    queues, publisher = Queues(stoppable_url), Publisher(stoppable_url)
    assert queues.depths_and_ages() == (dict.fromkeys(QUEUES, 0), dict.fromkeys(QUEUES, 0))
    publisher.send("backups.daily")
    (first,) = broker.lrange("backups", 0, -1)  # type: ignore[misc]
    old = json.loads(first)
    old["headers"][SENT] -= 90
    broker.lset("backups", 0, json.dumps(old))
    publisher.send("backups.run")
    depths, ages = queues.depths_and_ages()
    assert depths == dict.fromkeys(QUEUES, 0) | {"backups": 2}
    assert 90 <= ages["backups"] < 120, "of the one that was sent first"
    assert broker.llen("backups") == 2, "and there they still are"
    broker.rpush("mail", "no message of ours")
    assert queues.depths_and_ages()[1]["mail"] == 0
    queues.close()
    publisher.close()


def test_a_redis_that_is_away_is_said_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        Queues("redis://127.0.0.1:1/0").depths_and_ages()
    assert time.monotonic() - started < 2
