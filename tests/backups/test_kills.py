"""kill -9 at any moment of a backup and its drill: `make drill` does so thirty times, each at another one; and at each
stage of an upload."""

from __future__ import annotations

import os
import random
import time

import pytest

from backups import job
from backups.run import work_off
from backups.store import MANIFEST
from config import Settings
from embedded.process import wait_until
from services.backup_standing import STANDING, read_standing
from tests.backups.conftest import PART, databases_left
from tests.backups.processes import begin, environment, kill
from tests.integrations.fake_s3 import FakeS3
from tests.servers import DatabaseServer

SMALL_PARTS = f"from integrations import bucket_storage\nbucket_storage.PART_BYTES = {PART}\n"
ROUNDS = int(os.environ.get("DRILL_ROUNDS", "1"))
LONGEST_SECONDS = 5.0  # about as long as both take


class StopsAt(list[tuple[str, str]]):
    """What the bucket was asked; it answers no more once it was asked ``what`` for the ``nth`` time."""

    def __init__(self, bucket: FakeS3, what: tuple[str, str], nth: int) -> None:
        super().__init__()
        self._bucket = bucket
        self._what = what
        self._nth = nth

    def append(self, each: tuple[str, str]) -> None:
        super().append(each)
        if each == self._what and self.count(each) == self._nth:
            self._bucket.hangs = True


# Of an upload, and how often the bucket is asked before; the first two in every test run, all by `make drill`.
STAGES = {
    "between two parts": (("PUT", "part"), 3),
    "with all parts and no object": (("POST", "upload"), 1),
    "before a part": (("POST", "uploads"), 1),
    "at the manifest": (("PUT", "object"), 3),
}
TRIED = dict(list(STAGES.items())[: 2 if ROUNDS == 1 else None])


@pytest.mark.parametrize(("what", "nth"), TRIED.values(), ids=TRIED)
def test_killed_at_a_stage_of_an_upload_nothing_half_done_counts_and_nothing_stays(
    far: Settings, bucket: FakeS3, server: DatabaseServer, what: tuple[str, str], nth: int
) -> None:
    stopping = StopsAt(bucket, what, nth)
    bucket.asked = stopping
    process = begin(environment(far), SMALL_PARTS)
    try:
        assert wait_until(lambda: bucket.hangs or process.poll() is not None, 60)
        assert process.poll() is None, "it waits for an answer"
    finally:
        kill(process, far)
    bucket.hangs, bucket.asked = False, []
    with job.exclusive(far) as connection:
        done = work_off(far, connection)
        states = connection.execute("SELECT state, origin FROM backups ORDER BY created_at").fetchall()
        name = connection.execute("SELECT name FROM backups WHERE state = 'VERIFIED'").fetchone()
    assert states == [("FAILED", "SCHEDULED"), ("VERIFIED", "AGAIN")] and len(done.made) == len(done.drilled) == 1
    assert bucket.uploads == {} and name is not None
    lying = {key for key, versions in bucket.versions.items() if versions[-1].body is not None}
    assert lying and all(key.startswith(f"night/{name[0]}") for key in lying)
    assert databases_left(server) == []


@pytest.mark.parametrize("number", range(ROUNDS))
def test_whenever_it_is_killed_nothing_half_done_counts(here: Settings, server: DatabaseServer, number: int) -> None:
    process = begin(environment(here))
    time.sleep(random.Random(number).uniform(0.5, LONGEST_SECONDS))  # the moment is what is tried, and no condition
    kill(process, here)
    with job.exclusive(here) as connection:
        if connection.execute("SELECT count(*) FROM backups").fetchone() == (0,):
            job.request(connection, "SCHEDULED")
        work_off(here, connection)
        row = connection.execute(STANDING).fetchone()
        assert row is not None and read_standing(row).alerts == []
        good = connection.execute("SELECT name FROM backups WHERE state = 'VERIFIED' AND pruned_at IS NULL").fetchall()
        at_work = connection.execute("SELECT count(*) FROM backups WHERE state IN ('PENDING', 'RUNNING')").fetchone()
    assert at_work == (0,) and len(good) == 1
    stored = [path.name for path in (here.sigilo_home / "backups").iterdir()]
    assert [name for name in stored if name.endswith(MANIFEST)] == [good[0][0] + MANIFEST]
    assert all(name.startswith(good[0][0]) for name in stored), stored
    assert databases_left(server) == []
