"""The primary dies while people write, and the standby takes over: what was answered is there, writes are back within
ten seconds of the promotion, and nobody gets a wrong answer in between."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from embedded.process import wait_until
from migrations.roles import ensure_database, ensure_ownership, ensure_roles
from tests.faults.caller import Caller
from tests.faults.clinic import Clinic, make_clinic
from tests.faults.replicas import Pair, replicas
from tests.installation import Installation

DATABASE = "sigilo"
BACK_SECONDS = 10.0
WRITERS = 3
SMALL = {"SIGILO_DEMO_PATIENTS": "10", "SIGILO_DEMO_RECORDS": "40"}


@contextmanager
def clinic_on(pair: Pair, folder: Path) -> Iterator[Clinic]:
    """An installation whose DATABASE_URL names both servers."""
    with pair.primary.connect() as connection:
        ensure_roles(connection)
        ensure_database(connection, DATABASE)
    with pair.primary.connect(DATABASE) as connection:
        ensure_ownership(connection)
    installation = Installation(folder)
    try:
        yield make_clinic(installation, DATABASE_URL=pair.url(DATABASE), **SMALL)
    finally:
        installation.remove()


class Crowd:
    """Several who write and read all the time; how each request was answered."""

    def __init__(self, clinic: Clinic) -> None:
        self.callers = [clinic.caller() for _ in range(WRITERS)]
        self.answers: Counter[int | None] = Counter()
        self.wrong_retry = 0
        self._patient_id = clinic.patient_id
        self._stop = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._work, args=(caller,)) for caller in self.callers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def until_written(self, more: int, seconds: float = 60.0) -> None:
        wanted = self.answers[201] + more
        assert wait_until(lambda: self.answers[201] >= wanted, seconds), f"no {more} more writes: {self.answers}"

    def _work(self, caller: Caller) -> None:
        while not self._stop.is_set():
            written = caller.write(self._patient_id)
            self._note(written)
            if written is not None and written.status_code == 201:
                self._note(caller.send("GET", f"/api/medical-records/{written.json()['id']}"))

    def _note(self, answer: httpx.Response | None) -> None:
        status = None if answer is None else answer.status_code
        self.answers[status] += 1
        # When to send it again is said, unless it may be stored and has no key that keeps it from being stored twice.
        if answer is not None and status == 503 and ("Retry-After" in answer.headers) == _is_uncertain_write(answer):
            self.wrong_retry += 1


def _is_uncertain_write(answer: httpx.Response) -> bool:
    return (answer.request.method, answer.json()["type"]) == ("POST", "urn:sigilo:problem:commit-uncertain")


def test_the_standby_takes_over_and_the_other_after_it(tmp_path: Path) -> None:
    """A synchronous standby has every write that was answered. One that is not may lack the last, but never half of
    one: acts and events still agree, and the trail verifies."""
    with replicas() as pair, clinic_on(pair, tmp_path) as clinic:
        for synchronous in (True, False):
            pair.follow(synchronous=synchronous)
            crowd = Crowd(clinic)
            with crowd.at_work():
                crowd.until_written(20)
                pair.fail_over()
                promoted = time.monotonic()
                crowd.until_written(1, BACK_SECONDS)
                taken = time.monotonic() - promoted
                sys.stdout.write(f"writes are back {taken:.1f} s after the promotion: {dict(crowd.answers)}\n")
                crowd.until_written(20)
            assert set(crowd.answers) <= {200, 201, 503}, crowd.answers
            assert crowd.wrong_retry == 0
            after = replace(clinic, url=pair.primary.url(DATABASE))
            after.check(*(crowd.callers if synchronous else ()))
