"""How many answers a model's server is asked for at a time: one for each graphics card, whichever process asks.

A second prompt would halve the speed of the first, or push the model out of the card. A slot is a locked file in
SIGILO_HOME, so a killed process gives its slot back; workers on several machines are put in a line by Ollama itself
(OLLAMA_NUM_PARALLEL).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from integrations.language_model import AnswerCancelled, ModelTaken, ModelUnavailable

PAUSE_SECONDS = 0.1
# Longer than a question is put away for that found all slots taken, with the scheduler's two seconds.
WAY_SECONDS, WAY_MOST = 4.0, 10.0


class Slots:
    """``count`` slots for the server at ``url``, in ``folder``."""

    def __init__(self, folder: Path, url: str, count: int) -> None:
        name = hashlib.sha256(url.encode()).hexdigest()[:12]
        self._files = [folder / f"{name}-{number}.lock" for number in range(count)]
        self._wanted = folder / f"{name}-wanted"  # was touched when somebody found all of them taken

    @contextmanager
    def take(
        self, patience: float = 0.0, is_cancelled: Callable[[], bool] = lambda: False, *, is_pressed: bool = True
    ) -> Iterator[None]:
        """Hold one until the end of the block. Waits ``patience`` seconds for it, then raises ModelTaken.
        ``is_pressed``: whoever ``give_way``s does so for this."""
        until = time.monotonic() + patience
        while (taken := self._try()) is None:
            if is_pressed:
                self._wanted.touch(mode=0o600)
            if is_cancelled():
                raise AnswerCancelled("cancelled")
            if time.monotonic() >= until:
                raise ModelTaken("the model is answering somebody else: try again in a moment")
            time.sleep(PAUSE_SECONDS)
        try:
            yield
        finally:
            os.close(taken)

    def give_way(self) -> None:
        """Leave the slots alone until nobody has wanted one for WAY_SECONDS, so that whoever is between two tries comes
        in; no longer than WAY_MOST, for a turn goes to one at a time."""
        until = time.monotonic() + WAY_MOST
        while time.monotonic() < until and self._is_wanted():
            time.sleep(PAUSE_SECONDS)

    def _is_wanted(self) -> bool:
        try:
            return time.time() - self._wanted.stat().st_mtime < WAY_SECONDS
        except OSError:
            return False

    def _try(self) -> int | None:
        """The descriptor of a locked file, which must not be inherited: whoever has it has the lock."""
        for path in self._files:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise ModelUnavailable(f"{path.parent} can't be written ({error.strerror}): see SIGILO_HOME") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                continue
            return descriptor
        return None
