"""A circuit breaker: after a few failures in a row nobody waits for a model's server any more, for a while.

Per process and server. Then one request is let through; what becomes of it decides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from integrations.language_model import LanguageModelError, ModelUnavailable

FAILURES = 3
REST_SECONDS = 30.0


class Breaker:
    """Shared by the threads of a process. ``clock`` in seconds, as time.monotonic."""

    def __init__(
        self, *, failures: int = FAILURES, rest: float = REST_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._rest = rest
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._is_probed = False

    @property
    def state(self) -> str:
        """closed, open, or half-open: whoever asks next is the probe."""
        with self._lock:
            if self._opened_at is None:
                return "closed"
            return "half-open" if self._clock() - self._opened_at >= self._rest else "open"

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one request. Raises ModelUnavailable at once while it is open, or while another one probes."""
        self._enter()
        try:
            yield
        except ModelUnavailable:
            self._failed()
            raise
        except LanguageModelError as error:
            # Whoever answers "busy", "missing" or nonsense is there; a cancelled one may or may not be.
            self._let_go(has_answered=error.code != "CANCELLED")
            raise
        except BaseException:
            self._let_go(has_answered=False)
            raise
        self._let_go(has_answered=True)

    def _enter(self) -> None:
        with self._lock:
            if self._opened_at is None:
                return
            left = self._rest - (self._clock() - self._opened_at)
            if left > 0 or self._is_probed:
                raise ModelUnavailable(
                    f"the model failed {self._failures} times in a row and is left alone"
                    + (f" for another {left:.0f} s" if left > 0 else " while one request tries it")
                    + ": `sigilo doctor` says what is wrong"
                )
            self._is_probed = True

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._is_probed or self._failures >= self._most:
                self._opened_at = self._clock()
            self._is_probed = False

    def _let_go(self, *, has_answered: bool) -> None:
        with self._lock:
            self._is_probed = False
            if has_answered:
                self._failures = 0
                self._opened_at = None


_breakers: dict[str, Breaker] = {}
_making = threading.Lock()


def breaker_of(url: str) -> Breaker:
    """This process's breaker for the server at ``url``."""
    with _making:
        return _breakers.setdefault(url, Breaker())
