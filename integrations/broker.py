"""The way to the workers: Celery's messages over Redis. They are wake-ups; what is to be done stands in rows.

Queues are separate so that work of one kind never waits behind another: sealing the trail (``audit``), a link
that somebody waits for (``mail``) or the look for unusual accesses (``access``) behind an import (``default``),
anything behind a slow model (``inference``) or a dump (``backups``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from observability.tracing import TRACEPARENT, current_traceparent, span

DEFAULT_QUEUE = "default"
QUEUES = ("audit", DEFAULT_QUEUE, "mail", "access", "inference", "backups")
# A task named area.verb goes to the queue of its area.
ROUTES = {f"{queue}.*": {"queue": queue} for queue in QUEUES if queue != DEFAULT_QUEUE}

# Wake-ups that stand for whatever was done since the last one. Their task begins a trace of its own, which points at
# those who asked (``LINKS``); that of any other wake-up goes on with the trace of who asked first.
STAND_FOR_MANY = frozenset({"audit.drain"})
LINKS = "tracelinks"  # header of a message: traceparents, with commas
SENT = "sentat"  # header of a message: when it was sent, seconds since 1970

TIMEOUT_SECONDS = 0.25
# More waiting wake-ups of one queue wake nobody: what the workers missed while away is one look into the rows.
MOST_WAITING = 2


class BrokerUnavailable(Exception):
    """Redis did not answer in time. Nothing is lost: the scheduler looks for work that waits."""


def queue_of(task: str) -> str:
    """The queue of the task named ``task``."""
    area = task.partition(".")[0]
    return area if area in QUEUES else DEFAULT_QUEUE


def broker_url(url: str) -> str:
    """``url`` as Celery's transport takes it: ``unix://…?db=1`` becomes ``redis+socket://…?virtual_host=1``,
    and ``rediss://`` says that the server's certificate is checked, as redis-py does without being told."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.scheme == "unix":
        database = query.get("db", ["0"])[0]
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        return urlunsplit(parts._replace(query=urlencode({**query, "ssl_cert_reqs": "required"}, doseq=True)))
    return url


class Publisher:
    """Sends wake-ups, each within a quarter of a second or not at all. Connects at first use; one thread's."""

    def __init__(self, redis_url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        # Either library's own retries would turn the time-out into seconds.
        self._celery = Celery(broker=broker_url(redis_url), set_as_current=False)
        self._celery.conf.update(
            broker_transport_options={
                "socket_timeout": timeout,
                "socket_connect_timeout": timeout,
                "retry_on_timeout": False,
                "max_retries": 0,
            },
            task_ignore_result=True,
        )
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )

    def kick(self, task: str, askers: Sequence[str] = ()) -> bool:
        """Wake whoever does ``task``, unless enough wake-ups wait already. Gives whether one was sent. ``askers`` are
        the traceparents of those who asked for it, the first one first.

        Raises BrokerUnavailable.
        """
        try:
            if self._redis.llen(queue_of(task)) >= MOST_WAITING:  # type: ignore[operator]
                return False
        except (RedisError, OSError) as error:
            raise BrokerUnavailable from error
        first, others = (None, askers) if task in STAND_FOR_MANY else (next(iter(askers), None), askers[1:])
        self._send(task, {}, parent=first, links=others)
        return True

    def send(self, task: str, **arguments: Any) -> None:
        """Send ``task`` with ``arguments`` (plain JSON: ids and times). Raises BrokerUnavailable."""
        self._send(task, arguments, parent=current_traceparent())

    def _send(self, task: str, arguments: dict[str, Any], *, parent: str | None, links: Sequence[str] = ()) -> None:
        headers = {LINKS: ",".join(links)} if links else {}
        if parent is None:
            self._publish(task, arguments, headers)
            return
        with span(f"send {task}", "producer", {"sigilo.task.name": task}, parent=parent):
            self._publish(task, arguments, {**headers, TRACEPARENT: current_traceparent() or parent})

    def _publish(self, task: str, arguments: dict[str, Any], headers: dict[str, str]) -> None:
        try:
            self._celery.send_task(
                task, kwargs=arguments, queue=queue_of(task), retry=False, headers={**headers, SENT: time.time()}
            )
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailable from error

    def close(self) -> None:
        self._redis.close()
        self._celery.close()
