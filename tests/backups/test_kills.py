"""kill -9 at any moment of a backup and its drill: `make drill` does so thirty times, each at another one."""

from __future__ import annotations

import os
import random
import time

import pytest

from backups import job
from backups.run import work_off
from backups.store import MANIFEST
from config import Settings
from services.backup_standing import STANDING, read_standing
from tests.backups.conftest import databases_left
from tests.backups.processes import begin, environment, kill
from tests.servers import DatabaseServer

ROUNDS = int(os.environ.get("DRILL_ROUNDS", "1"))
LONGEST_SECONDS = 5.0  # about as long as both take


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
