"""Tell the workers that there is something to do, without ever making a request wait for it.

A call only leaves a note; a thread of its own publishes, at most twice a second however many ask. While Redis
is away the thread tries ever more seldom, and whoever asks notices nothing. A lost wake-up costs a second or
two: the scheduler looks for work that waits.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol

from integrations.broker import BrokerUnavailable, Publisher

INTERVAL_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
CLOSE_SECONDS = 1.0


class Wakeup(Protocol):
    """Wakes the workers. Call it after the commit: before, they would find nothing."""

    def audit(self) -> None:
        """There are events to seal."""

    def imports(self) -> None:
        """There is an import to run."""

    def mail(self) -> None:
        """There is mail to send."""

    def close(self) -> None:
        """Send what was asked for and not sent yet, within a second."""


class RedisWakeup:
    """Wakes Celery's workers over Redis. Threads share it; it survives a fork."""

    def __init__(self, redis_url: str, *, interval: float = INTERVAL_SECONDS) -> None:
        self._redis_url = redis_url
        self._interval = interval
        self._process = 0
        self._starting = threading.Lock()

    def audit(self) -> None:
        self._ask("audit.drain")

    def imports(self) -> None:
        self._ask("imports.run")

    def mail(self) -> None:
        self._ask("mail.send")

    def _ask(self, task: str) -> None:
        if self._process != os.getpid():
            self._start()
        self._wanted.add(task)
        self._asked.set()

    def _start(self) -> None:
        """Start the thread, once in each process: a forked one inherits none."""
        with self._starting:
            if self._process == os.getpid():
                return
            self._wanted: set[str] = set()
            self._asked = threading.Event()
            self._closing = threading.Event()
            self._thread = threading.Thread(target=self._publish, name="wake-up", daemon=True)
            self._thread.start()
            self._process = os.getpid()

    def _publish(self) -> None:
        publisher = Publisher(self._redis_url)
        failures = 0
        while True:
            self._asked.wait()
            self._asked.clear()
            wanted, self._wanted = self._wanted, set()
            try:
                for task in sorted(wanted):
                    publisher.kick(task)
                failures = 0
            except BrokerUnavailable:
                failures += 1
            if self._closing.is_set():
                break
            self._closing.wait(min(self._interval * 2.0**failures, LONGEST_PAUSE_SECONDS))
        publisher.close()

    def close(self) -> None:
        if self._process != os.getpid():
            return
        self._closing.set()
        self._asked.set()
        self._thread.join(CLOSE_SECONDS)
        self._process = 0
