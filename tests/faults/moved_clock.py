"""The scheduler on a clock that its test moves: ``python -m tests.faults.moved_clock TIME CRON [watching]``. It starts
one timed job; ``watching``, it wakes the workers too for whatever waits, as the installation's own does.

Each line on standard input is a time that the clock is set to at once, as an operator or NTP would; it runs on from
there. What measures durations is left alone, as by the kernel.
"""

from __future__ import annotations

import sys
import threading
from datetime import datetime

import time_machine

from config import load_settings
from services.job_schedule import JOBS, TimedJob
from tasks.schedule import WATCHES
from tasks.scheduler import Scheduler


def main() -> None:
    cron = sys.argv[2]
    clock = time_machine.travel(datetime.fromisoformat(sys.argv[1]), tick=True)
    here = clock.start()
    jobs = (TimedJob(JOBS[0].task, cron, JOBS[0].lost_after),)
    watches = WATCHES if sys.argv[3:] == ["watching"] else ()
    scheduler = Scheduler(load_settings(), jobs=jobs, watches=watches)

    def follow() -> None:
        for line in sys.stdin:
            here.move_to(datetime.fromisoformat(line.strip()))
        scheduler.stop()

    threading.Thread(target=follow, daemon=True).start()
    scheduler.run()


main()
