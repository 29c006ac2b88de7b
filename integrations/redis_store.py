"""Counting requests in Redis: one atomic script call a request, and no waiting when Redis is away.

A window starts with its first request and lasts its whole length, so of any number of simultaneous requests
exactly the quota passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from integrations.redis_line import TIMEOUT_SECONDS, RedisLine, StoreUnavailable
from observability.metrics import QUOTA_DEGRADED
from observability.tracing import child_span

__all__ = ["TIMEOUT_SECONDS", "RedisStore", "StoreUnavailable", "Window"]

# KEYS[1]: the window's counter; ARGV[1]: its length in ms. Gives {requests so far, ms until it ends}.
SCRIPT = """
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
"""
# Of a span: the key names who calls, so it is not among them.
ABOUT = {"db.system.name": "redis", "db.operation.name": "EVALSHA"}
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Window:
    """``count`` requests in a window that ends in ``left_ms`` milliseconds."""

    count: int
    left_ms: int


class RedisStore(RedisLine):
    """A counter store over one Redis, and what else is asked of it now and then."""

    def tell(self, is_down: bool) -> None:
        QUOTA_DEGRADED.set(int(is_down))

    def count(self, key: str, window_ms: int) -> Window:
        """Count one request in ``key``'s window. Raises StoreUnavailable, at once while the circuit is open."""
        if self.is_down:
            raise StoreUnavailable
        with child_span("EVALSHA", ABOUT):
            try:
                count, left = self.call("EVALSHA", SCRIPT_SHA, 1, key, window_ms)
            except NoScriptError:
                count, left = self.call("EVAL", SCRIPT, 1, key, window_ms)
        return Window(int(count), max(1, int(left)))

    def version(self) -> str | None:
        """Which Redis answers; None when none does, or it does not say."""
        if self.is_down:
            return None
        try:
            found: Any = self._client().info("server")
        except (RedisError, OSError):
            return None
        return str(found["redis_version"]) if "redis_version" in found else None

    def present(self, keys: Sequence[str]) -> list[bool]:
        """Which of ``keys`` there are. Raises StoreUnavailable, at once while the circuit is open."""
        if self.is_down:
            raise StoreUnavailable
        try:
            found: Any = self._client().mget(keys)
        except (RedisError, OSError) as error:
            self._break()
            raise StoreUnavailable from error
        return [value is not None for value in found]
