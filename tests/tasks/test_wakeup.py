"""A wake-up never makes a request wait, whatever Redis does, and wakes soon after Redis is back."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
import redis

from embedded.redis import RedisServer
from integrations.broker import MOST_WAITING, BrokerUnavailable, Publisher, queue_of
from integrations.wakeup import RedisWakeup, Wakeup
from tests.tasks.conftest import wait_for

INTERVAL = 0.1


@pytest.fixture
def wakeup(stoppable: RedisServer, broker: redis.Redis) -> Iterator[RedisWakeup]:
    made = RedisWakeup(stoppable.url, interval=INTERVAL)
    yield made
    made.close()


@pytest.fixture
def hung(stoppable: RedisServer) -> Iterator[None]:
    """Redis takes connections and answers nothing."""
    assert stoppable.process is not None
    stoppable.process.send_signal(signal.SIGSTOP)
    yield
    stoppable.process.send_signal(signal.SIGCONT)


def tasks_in(broker: redis.Redis, queue: str) -> list[str]:
    messages: list[bytes] = broker.lrange(queue, 0, -1)  # type: ignore[assignment]
    return [json.loads(message)["headers"]["task"] for message in messages]


def test_a_wakeup_is_a_message_in_the_queue_of_its_task(wakeup: RedisWakeup, broker: redis.Redis) -> None:
    wakeup.audit()
    wakeup.imports()
    wakeup.mail()
    wait_for(lambda: tasks_in(broker, "mail") == ["mail.send"])
    wait_for(lambda: tasks_in(broker, "audit") == ["audit.drain"])
    wait_for(lambda: tasks_in(broker, "default") == ["imports.run"])


def test_many_wakeups_are_one(wakeup: RedisWakeup, broker: redis.Redis) -> None:
    threads = [threading.Thread(target=slowest_of, args=(wakeup, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wakeup.close()
    assert 1 <= broker.llen("audit") <= MOST_WAITING  # type: ignore[operator]


def test_a_wakeup_after_the_last_was_sent_is_sent_too(wakeup: RedisWakeup, broker: redis.Redis) -> None:
    wakeup.audit()
    wait_for(lambda: broker.llen("audit") == 1)
    broker.delete("audit")
    wakeup.audit()
    wait_for(lambda: broker.llen("audit") == 1)


def test_what_was_asked_for_last_is_sent_at_the_end(
    stoppable: RedisServer, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the time: how long nobody waits is the others' to test."""
    monkeypatch.setattr("integrations.wakeup.CLOSE_SECONDS", 20.0)
    monkeypatch.setattr("integrations.wakeup.Publisher", partial(Publisher, timeout=10.0))
    wakeup = RedisWakeup(stoppable.url, interval=60)
    wakeup.audit()
    wait_for(lambda: broker.llen("audit") == 1)
    broker.delete("audit")
    wakeup.audit()
    wakeup.close()
    assert broker.llen("audit") == 1
    wakeup.audit()
    wait_for(lambda: broker.llen("audit") == 2)
    wakeup.close()


def slowest_of(wakeup: Wakeup, calls: int = 200) -> float:
    """The longest of ``calls`` calls over a second or so, in seconds."""
    slowest = 0.0
    for _ in range(calls):
        started = time.perf_counter()
        wakeup.audit()
        slowest = max(slowest, time.perf_counter() - started)
        threading.Event().wait(0.003)
    return slowest


def test_requests_are_not_delayed_while_redis_hangs(wakeup: RedisWakeup, hung: None) -> None:
    """Measured: some 5 µs a call; the bound leaves room for a busy machine."""
    assert slowest_of(wakeup) < 0.05


def test_requests_are_not_delayed_while_redis_is_away(tmp_path: object) -> None:
    wakeup = RedisWakeup("unix:///nowhere/redis.sock", interval=INTERVAL)
    assert slowest_of(wakeup) < 0.05
    wakeup.close()


def test_a_hung_redis_costs_a_publisher_its_time_out_once(stoppable: RedisServer, hung: None) -> None:
    """Once: a second attempt would take twice as long, however busy the machine is."""
    time_out = 0.75
    publisher = Publisher(stoppable.url, timeout=time_out)
    for act in (lambda: publisher.kick("audit.drain"), lambda: publisher.send("audit.drain")):
        started = time.perf_counter()
        with pytest.raises(BrokerUnavailable):
            act()
        assert time.perf_counter() - started < 2 * time_out
    publisher.close()


def test_wakeups_go_out_again_when_redis_is_back(
    wakeup: RedisWakeup, stoppable: RedisServer, broker: redis.Redis
) -> None:
    wakeup.audit()
    wait_for(lambda: broker.llen("audit") == 1)
    stoppable.stop()
    wakeup.audit()
    stoppable.start()

    def is_woken() -> bool:
        wakeup.audit()
        return broker.llen("audit") == 1

    wait_for(is_woken)


def test_waiting_wakeups_do_not_pile_up_while_no_worker_takes_them(stoppable: RedisServer, broker: redis.Redis) -> None:
    publisher = Publisher(stoppable.url)
    assert [publisher.kick("audit.drain") for _ in range(4)] == [True, True, False, False]
    assert broker.llen("audit") == MOST_WAITING
    publisher.close()


def test_a_forked_process_wakes_by_itself(wakeup: RedisWakeup, broker: redis.Redis) -> None:
    wakeup.audit()
    wait_for(lambda: broker.llen("audit") == 1)
    child = os.fork()
    if child == 0:
        wakeup.imports()
        wakeup.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert tasks_in(broker, "default") == ["imports.run"]


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("audit.drain", "audit"),
        ("imports.run", "default"),
        ("inference.summary", "inference"),
        ("backups.create", "backups"),
    ],
)
def test_each_kind_of_work_has_its_queue(task: str, queue: str) -> None:
    assert queue_of(task) == queue
