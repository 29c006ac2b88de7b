"""Quotas: how many requests pass in a window, and what holds while the shared counter is away.

The counter is Redis (``integrations/redis_store.py``). Without it every process counts for itself and all
of them together let half of each quota pass: stricter, never open. ARCHITECTURE: safe and without delay.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Protocol

from integrations.redis_store import StoreUnavailable, Window

LOCAL_KEYS_MAX = 20_000


class Bucket(StrEnum):
    """What a request is counted as. Each has its own quota, so that one can't starve another."""

    API = "api"  # bearer tokens: per user, or per token with a quota of its own
    PAGES = "pages"  # people at a browser, per user
    LIVE = "live"  # open pages asking whether anything changed, per user
    ANONYMOUS = "anonymous"  # everybody else, per address
    LOGIN = "login"  # attempts to sign in, per address


class CounterStore(Protocol):
    """Counts requests in windows for all processes. ``count`` raises StoreUnavailable when it can't."""

    @property
    def is_down(self) -> bool: ...

    def count(self, key: str, window_ms: int) -> Window: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request passes, and what the caller has left."""

    allowed: bool
    limit: int
    window_seconds: int
    remaining: int
    reset_ms: int

    @property
    def reset_seconds(self) -> int:
        """Whole seconds after which the window has surely ended: what ``Retry-After`` says."""
        return max(1, ceil(self.reset_ms / 1000))

    @property
    def is_near(self) -> bool:
        """Whether this request used the last tenth of the quota (the last one, of a small quota)."""
        return self.remaining < max(1, self.limit // 10)

    @property
    def policy_header(self) -> str:
        """``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"default";q={self.limit};w={self.window_seconds}'

    @property
    def limit_header(self) -> str:
        """``RateLimit``: requests left, and seconds until there are new ones."""
        return f'"default";r={self.remaining};t={self.reset_seconds}'


class Quotas:
    """Decides for one process. ``processes`` share the quota while the store is away."""

    def __init__(self, store: CounterStore, *, processes: int = 1) -> None:
        self._store = store
        self._local = LocalCounter()
        self._share = 2 * max(1, processes)

    @property
    def is_degraded(self) -> bool:
        return self._store.is_down

    def spend(self, key: str, limit: int, window_seconds: int) -> Decision:
        """Count one request against ``limit`` per ``window_seconds``. Never raises, never waits for long."""
        try:
            window = self._store.count(f"quota:{key}:{window_seconds}", window_seconds * 1000)
        except StoreUnavailable:
            limit = max(1, limit // self._share)
            window = self._local.count(key, window_seconds * 1000)
        return Decision(
            allowed=window.count <= limit,
            limit=limit,
            window_seconds=window_seconds,
            remaining=max(0, limit - window.count),
            reset_ms=window.left_ms,
        )


class LocalCounter:
    """Fixed windows in this process's memory, shared by its threads, bounded in size."""

    def __init__(self, *, max_keys: int = LOCAL_KEYS_MAX) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}  # key → (count, end on the monotonic clock)
        self._max_keys = max_keys

    def count(self, key: str, window_ms: int) -> Window:
        now = time.monotonic()
        with self._lock:
            count, end = self._windows.get(key, (0, 0.0))
            if end <= now:
                count, end = 0, now + window_ms / 1000
                if len(self._windows) >= self._max_keys:
                    self._forget(now)
            self._windows[key] = (count + 1, end)
        return Window(count + 1, max(1, int((end - now) * 1000)))

    def _forget(self, now: float) -> None:
        """Drop what has ended; should that not suffice, drop the oldest: memory has an end."""
        self._windows = {key: value for key, value in self._windows.items() if value[1] > now}
        for key in list(self._windows)[: max(0, len(self._windows) - self._max_keys + 1)]:
            del self._windows[key]
