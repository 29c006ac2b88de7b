"""Which acts are traced: a share of those that begin here, and no more a second than a busy clinic can spare."""

from __future__ import annotations

import threading
import time
from typing import Any

from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

# Of one process. A sampled act costs up to two milliseconds of its processor: two a second are four thousandths.
MOST_A_SECOND = 2.0


def sampler_of(ratio: float) -> Sampler:
    """Sample ``ratio`` (0–1) of the traces that begin here, at most ``MOST_A_SECOND`` of them, and whatever belongs to
    a sampled one. A ratio of 1 asks for everything, and gets it."""
    share = TraceIdRatioBased(ratio)
    return ParentBased(share if ratio >= 1 else AtMost(share, MOST_A_SECOND))


class AtMost(Sampler):
    """What ``inner`` samples, as far as a bucket holds that fills by ``a_second`` and never beyond a second's worth."""

    def __init__(self, inner: Sampler, a_second: float) -> None:
        self._inner = inner
        self._a_second = self._left = a_second
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        found = self._inner.should_sample(*args, **kwargs)
        if found.decision is Decision.DROP or self._takes_one():
            return found
        return SamplingResult(Decision.DROP, None, found.trace_state)

    def _takes_one(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._a_second, self._left + (now - self._at) * self._a_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def get_description(self) -> str:
        return f"AtMost{{{self._inner.get_description()},{self._a_second}}}"
