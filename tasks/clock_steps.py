"""Notice when the system's clock is set: by an operator, by NTP, or because the machine was asleep.

Timers that were planned on the old time would wait until it comes again: after a step back by an hour, for an hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 1.0
STEP_SECONDS = 2.0  # what a slow look or the slewing of NTP never amounts to between two looks


def watch_steps(on_step: Callable[[float], None], stopped: threading.Event) -> threading.Thread:
    """Call ``on_step`` with the seconds by which the clock was set forward (or, below 0, back) each time it was, in a
    thread of its own until ``stopped``."""

    def look() -> None:
        before = time.time() - time.monotonic()
        while not stopped.wait(LOOK_SECONDS):
            now = time.time() - time.monotonic()
            if abs(now - before) > STEP_SECONDS:
                on_step(now - before)
            before = now

    thread = threading.Thread(target=look, name="clock-steps", daemon=True)
    thread.start()
    return thread
