"""Wait until a server that was just started answers, or say why it does not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from embedded.errors import EmbeddedError

POLL_SECONDS = 0.03


def wait_ready(
    name: str,
    process: subprocess.Popen[bytes] | None,
    answers: Callable[[], bool],
    *,
    seconds: float,
    log: Path,
    last_words: Callable[[], str],
    check: Callable[[], None],
) -> None:
    """Return once ``answers``. ``check`` is called while waiting and may raise to give up.

    Raises EmbeddedError when the process ends, with its ``last_words``, or does not answer in ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not answers():
        check()
        if process is None or process.poll() is not None:
            raise EmbeddedError(f"{name} did not start ({last_words()}): see {log}")
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} does not answer after {seconds:.0f} s: see {log}")
        time.sleep(POLL_SECONDS)
