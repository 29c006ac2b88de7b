"""A scheduler that leads a running installation, and whose clock a test moves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from tests.faults.clinic import SCHEDULER, Clinic
from tests.faults.test_clock import NEW_YORK, MovedClock
from tests.tasks.conftest import ROOT


@contextmanager
def its_scheduler_at(clinic: Clinic, moment: datetime, cron: str) -> Iterator[MovedClock]:
    """A scheduler of this installation in New York whose clock is moved. It leads: the installation's own is held
    meanwhile, so that the leader's lock is free, and goes on afterwards."""
    environment = clinic.installation.environment | clinic.installation.home.running_environment()
    own = clinic.members(SCHEDULER)
    with psycopg.connect(clinic.url, autocommit=True) as connection:
        for process in own:
            process.suspend()
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sigilo-scheduler'"
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.moved_clock", moment.isoformat(), cron, "watching"],
        cwd=ROOT, env=environment | {"TZ": NEW_YORK}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield MovedClock(process)
    finally:
        process.communicate(timeout=20)
        for each in own:
            each.resume()
    assert process.returncode == 0
