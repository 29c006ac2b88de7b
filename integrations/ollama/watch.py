"""What ends a request to a model besides its own end: too slow, too much, or nobody wants it any more.

A model may think for a minute before its first word. So whoever reads waits in short slices and asks between them:
a request that is cancelled meanwhile ends at once, its connection is closed, and with that the model stops.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from config import Settings
from integrations.language_model import AnswerCancelled, AnswerTooLong, ModelUnavailable

SLICE_SECONDS = 0.1  # between two looks at the watch
ASK_SECONDS = 0.25  # between two questions whether it is cancelled, which may cost a look into the database
MOST_BYTES = 1 << 20  # between two signs of progress; a part of an answer has a few hundred


class TooSlow(ModelUnavailable):
    """Time was up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one waits, in seconds."""

    connect: float = 5.0
    first: float = 120.0  # for the first word; a model that has to be loaded, or a long prompt, takes a while
    between: float = 30.0  # between two words
    whole: float = 240.0  # for all of it
    question: float = 10.0  # for what needs no model: which ones there are

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        whole = float(settings.ai_timeout_seconds)
        return cls(first=whole / 2, between=min(cls().between, whole / 2), whole=whole)

    @property
    def of_question(self) -> Limits:
        return replace(self, first=self.question, between=self.question, whole=self.question)


class Watch:
    """Over one request. The reader calls ``look`` while nothing comes and ``count`` for what came; whoever understands
    the answer calls ``progress``, so that neither blanks nor an endless line pass for one."""

    def __init__(
        self, limits: Limits, *, is_cancelled: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.limits = limits
        self._is_cancelled = is_cancelled
        self._clock = clock
        self.started = self._since = clock()
        self._asked = -ASK_SECONDS
        self._has_begun = False
        self._bytes = 0
        self.has_received = False

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self.started

    def look(self) -> None:
        """Raises AnswerCancelled, or TooSlow when time is up."""
        now = self._clock()
        if now - self._asked >= ASK_SECONDS:
            self._asked = now
            if self._is_cancelled():
                raise AnswerCancelled("cancelled")
        limit = self.limits.between if self._has_begun else self.limits.first
        if now - self._since > limit:
            what = "stopped in the middle of its answer" if self._has_begun else "did not begin to answer"
            raise TooSlow(f"the model {what} within {limit:g} s: see Ollama's log, or choose a smaller one")
        if now - self.started > self.limits.whole:
            raise TooSlow(
                f"the model took longer than {self.limits.whole:g} s: choose a smaller one, or raise AI_TIMEOUT_SECONDS"
            )

    def count(self, size: int) -> None:
        """So many bytes came. Raises AnswerTooLong when there are too many without any progress."""
        self.has_received = self.has_received or size > 0
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise AnswerTooLong("what comes from OLLAMA_URL does not end: is it Ollama's address?")

    def again(self) -> None:
        """Another request under the same watch: it may take as long to begin as the first."""
        self._has_begun = self.has_received = False
        self._since = self._clock()
        self._bytes = 0

    def progress(self) -> None:
        """Something came that one waited for."""
        self._has_begun = True
        self._since = self._clock()
        self._bytes = 0
