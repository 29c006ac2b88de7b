"""``make faults``: a thousand kills while a million events are written, and then the books are checked.

Somebody writes over HTTP, others commit acts by the hundred, and every second something is killed: web processes, the
workers that seal, what writes, now and then a whole server. What was committed must be in the trail exactly once.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import redis

from embedded.process import wait_until
from embedded.serving import audit_worker_command
from embedded.supervisor import answers_ready
from tests.faults.bulk_writer import ACTION, TABLE, URL
from tests.faults.clinic import AUDIT_WORKER, SCHEDULER, WEB, Clinic, make_clinic
from tests.faults.ledger import EVENTS, is_sealed
from tests.installation import ROOT, Installation

PAUSE = (0.3, 1.5)  # seconds between two kills
STUCK_SECONDS = 180.0
BACKLOG = 60_000  # events that may wait before writers pause
UNPAIRED = f"""{EVENTS}
    SELECT count(*) FILTER (WHERE told IS DISTINCT FROM 1), count(*) FILTER (WHERE a.id IS NULL), count(*)
    FROM fault_acts a FULL JOIN (
        SELECT entity_id, count(*) AS told FROM events WHERE action = '{ACTION}' GROUP BY entity_id
    ) e ON e.entity_id = a.id
"""


class Spare:
    """A process of the run's own that is started again whenever it was killed."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command, self._environment = command, environment
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Endurance:
    """One run over one clinic."""

    def __init__(self, clinic: Clinic, kills: int, events: int, seed: int) -> None:
        self.clinic, self.kills, self.events = clinic, kills, events
        self.killed: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._waiting, self._progress = 0, (0, time.monotonic())
        self._caller = clinic.caller()
        environment = dict(clinic.installation.child(AUDIT_WORKER).environ())
        url = (clinic.installation.home.secrets / "database_url_staff").read_text().strip()
        bulk = [sys.executable, "-m", "tests.faults.bulk_writer"]
        with clinic.superuser() as superuser:
            superuser.execute(TABLE)
        self._workers = [Spare(audit_worker_command(), environment) for _ in range(2)]
        self._writer = Spare(bulk, environment | {URL: url})
        self._acts: list[tuple[int, str, Callable[[], object]]] = [
            (30, "web process", self._kill_web_process),
            (25, "audit worker", lambda: self._random.choice(self._workers).kill()),
            (30, "bulk writer", self._writer.kill),
            (4, "the installation's audit worker", lambda: self._kill_child(AUDIT_WORKER)),
            (3, "worker's child", lambda: self._kill_below("--exclude-queues audit")),
            (2, "web server", lambda: self._kill_child(WEB)),
            (2, "scheduler", lambda: self._kill_child(SCHEDULER)),
            (2, "flush of Redis", self._flush),
            (1, "Redis", lambda: self._kill_child("redis-server")),
            (1, "PostgreSQL", lambda: self._kill_child("bin/postgres")),
        ]

    def run(self) -> None:
        """Raises AssertionError when an act and its event do not agree."""
        callers = [threading.Thread(target=self._write) for _ in range(2)]
        for thread in callers:
            thread.start()
        started = time.monotonic()
        try:
            while sum(self.killed.values()) < self.kills or self._count() < self.events:
                if sum(self.killed.values()) < self.kills:
                    self._kill_something()
                self._hold_back()
                self._watch_progress()
                time.sleep(self._random.uniform(*PAUSE))
        finally:
            self._stop.set()
            self._writer.end()
            for thread in callers:
                thread.join()
        say(f"{sum(self.killed.values())} kills in {time.monotonic() - started:,.0f} s; waiting until all is sealed")
        self._until_sealed()
        for spare in self._workers:
            spare.end()
        self._check()

    def _check(self) -> None:
        for kind, count in self.killed.most_common():
            say(f"  {count:5} {kind}")
        answered, unanswered = len(self._caller.answered), len(self._caller.unanswered)
        say(f"{answered:,} requests answered, {unanswered:,} cut off or refused")
        checked = time.monotonic()
        total = self.clinic.check(self._caller)
        with self.clinic.superuser() as superuser:
            row = superuser.execute(UNPAIRED).fetchone()
        assert row is not None
        assert row[:2] == (0, 0), f"{row[0]} acts without their one event, {row[1]} events without their act"
        say(f"{row[2]:,} acts in bulk, each with exactly one event; {total:,} events sealed without a gap and verified")
        say(f"checked in {time.monotonic() - checked:,.0f} s: exactly once")

    def _write(self) -> None:
        while not self._stop.is_set():
            written = self._caller.write(self.clinic.patient_id)
            if written is None or not written.is_success:
                time.sleep(0.1)

    def _kill_something(self) -> None:
        weights = [weight for weight, _, _ in self._acts]
        _, kind, act = self._random.choices(self._acts, weights)[0]
        with suppress(psutil.Error, LookupError, StopIteration, redis.RedisError):  # it is away already
            act()
            self.killed[kind] += 1
            done = sum(self.killed.values())
            if done % 50 == 0:
                say(f"{done} kills, {self._count():,} events")

    def _kill_web_process(self) -> None:
        """One of the two, and not while both are still starting: a server that is never up proves little."""
        if not answers_ready(self.clinic.installation.port):
            raise LookupError(WEB)
        self._random.choice(self.clinic.installation.child(WEB).children()).kill()

    def _kill_child(self, words: str) -> None:
        self.clinic.installation.child(words).kill()

    def _kill_below(self, words: str) -> None:
        self._random.choice(self.clinic.installation.child(words).children()).kill()

    def _flush(self) -> None:
        url = (self.clinic.installation.home.secrets / "redis_url").read_text().strip()
        with redis.Redis.from_url(url) as broker:
            broker.flushall()

    def _count(self) -> int:
        """Events sealed or waiting; about, and 0 while the database is away."""
        with suppress(psycopg.Error), self.clinic.superuser() as superuser:
            row = superuser.execute("SELECT coalesce(max(sequence), 0) FROM audit_trail").fetchone()
            return int(row[0]) if row else 0
        return 0

    def _watch_progress(self) -> None:
        """Raises AssertionError when something waited for minutes and nothing was sealed: killed as often as it is, a
        worker comes to work in between."""
        sealed = self._count()
        if sealed != self._progress[0] or self._waiting == 0:
            self._progress = (sealed, time.monotonic())
        assert time.monotonic() - self._progress[1] < STUCK_SECONDS, "nothing was sealed although events wait"

    def _hold_back(self) -> None:
        """Who writes in bulk waits while too much waits to be sealed, or has written enough."""
        self._waiting = 0
        with suppress(psycopg.Error), self.clinic.superuser() as superuser:
            row = superuser.execute("SELECT count(*) FROM audit_outbox").fetchone()
            self._waiting = int(row[0]) if row else 0
        with suppress(psutil.Error):
            writer = psutil.Process(self._writer.process.pid)
            if self._waiting > BACKLOG or self._count() > self.events:
                writer.suspend()
            else:
                writer.resume()

    def _until_sealed(self) -> None:
        """As long as something is sealed every minute."""
        before = -1
        while before != (before := self._count()):

            def done() -> bool:
                with suppress(psycopg.Error), self.clinic.superuser() as superuser:
                    return is_sealed(superuser)
                return False

            if wait_until(done, 60.0):
                return
        raise AssertionError("nothing was sealed for a minute")


def say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--kills", type=int, default=1_000)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = options.parse_args()
    say(f"seed {given.seed}")
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder))
        try:
            Endurance(make_clinic(installation), given.kills, given.events, given.seed).run()
        finally:
            installation.remove()


if __name__ == "__main__":
    main()
