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
from observability.tracing import current_traceparent

INTERVAL_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
CLOSE_SECONDS = 1.0
MOST_ASKERS = 8  # whose traces one wake-up names


class Wakeup(Protocol):
    """Wakes the workers. Call it after the commit: before, they would find nothing."""

    def audit(self) -> None:
        """There are events to seal."""

    def imports(self) -> None:
        """There is an import to run."""

    def mail(self) -> None:
        """There is mail to send."""

    def backups(self) -> None:
        """There is a backup to take."""

    def inference(self) -> None:
        """There is a question to the model."""

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

    def backups(self) -> None:
        self._ask("backups.run")

    def inference(self) -> None:
        self._ask("inference.run")

    def _ask(self, task: str) -> None:
        if self._process != os.getpid():
            self._start()
        askers = self._wanted.setdefault(task, [])
        asker = current_traceparent()
        if asker is not None and len(askers) < MOST_ASKERS:
            askers.append(asker)
        # Noted before it is looked at, so what was asked when this was cleared is taken along.
        if not self._asked.is_set():
            self._asked.set()

    def _start(self) -> None:
        """Start the thread, once in each process: a forked one inherits none."""
        with self._starting:
            if self._process == os.getpid():
                return
            self._wanted: dict[str, list[str]] = {}  # task → traceparents of who asked
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
            wanted, self._wanted = self._wanted, {}
            try:
                for task in sorted(wanted):
                    publisher.kick(task, wanted[task])
                failures = 0
            except BrokerUnavailable:
                failures += 1
            # What was asked for while this was sent has its turn before the end.
            if self._closing.is_set() and not self._wanted:
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
