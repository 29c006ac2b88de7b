"""What was worked out a moment ago, kept beside the broker so that it need not be worked out again.

Whoever reads and writes sees ``Cache``: a value may be missing at any time, and nothing hangs on it. What is kept in
Redis tells nobody anything: a key is a keyed digest of what was asked, a value is sealed and bound to its key
(AES-256-GCM), so whoever takes the memory of that Redis away has neither questions nor answers, and whoever writes
into it can't make one up. docs/caching.md says what is kept and when it stops counting.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from enum import StrEnum
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config import PRODUCT_VERSION
from integrations.redis_line import PROBE_SECONDS, TIMEOUT_SECONDS, RedisLine, StoreUnavailable
from observability.metrics import CACHE_DEGRADED, CACHE_LOOKUPS
from observability.tracing import child_span

PREFIX = "sigilo:cache"
NONCE_BYTES = 12
VALUE_BYTES_MAX = 64 * 1024  # more is not worth keeping
ABOUT = {"db.system.name": "redis"}


class Kind(StrEnum):
    """What is kept: a part of the key, and a label of the metrics."""

    TOKEN = "token"  # noqa: S105  (who holds a bearer token)
    CID10 = "cid10"  # codes for words
    FIGURES = "figures"  # the clinic's day in numbers


class Cache(Protocol):
    """Answers by what was asked: ``asked`` is any text, and what the answer depends on must be all in it."""

    def get(self, kind: Kind, asked: str) -> bytes | None:
        """What was put there; None when there is nothing, or no answer in time."""

    def put(self, kind: Kind, asked: str, value: bytes, seconds: int) -> None:
        """Keep ``value`` for at most ``seconds``; or not, should that not work."""

    def close(self) -> None:
        """End what runs in the background."""


class NoCache:
    """Keeps nothing."""

    def get(self, kind: Kind, asked: str) -> bytes | None:
        return None

    def put(self, kind: Kind, asked: str, value: bytes, seconds: int) -> None:
        """Forgets it."""

    def close(self) -> None:
        """Nothing runs."""


class RedisCache(RedisLine):
    """A cache in Redis for all processes that have the same secret: others find nothing of theirs."""

    def __init__(
        self, url: str, secret: str, *, timeout: float = TIMEOUT_SECONDS, probe_interval: float = PROBE_SECONDS
    ) -> None:
        """``secret``: the installation's; keys for names and for values are made of it."""
        super().__init__(url, timeout=timeout, probe_interval=probe_interval)
        self._naming = _derived(secret, "names")
        self._sealing = AESGCM(_derived(secret, "values"))
        self._counts = {
            (kind, outcome): CACHE_LOOKUPS.labels(kind.value, outcome)
            for kind in Kind
            for outcome in ("hit", "miss", "away")
        }

    def tell(self, is_down: bool) -> None:
        CACHE_DEGRADED.set(int(is_down))

    def get(self, kind: Kind, asked: str) -> bytes | None:
        name = self._name(kind, asked)
        try:
            with child_span("GET", ABOUT):
                sealed = self.call("GET", name)
        except StoreUnavailable:
            self._counts[kind, "away"].inc()
            return None
        value = None if sealed is None else self._opened(name, sealed)
        self._counts[kind, "miss" if value is None else "hit"].inc()
        return value

    def put(self, kind: Kind, asked: str, value: bytes, seconds: int) -> None:
        if seconds < 1 or len(value) > VALUE_BYTES_MAX:
            return
        name, nonce = self._name(kind, asked), os.urandom(NONCE_BYTES)
        try:
            with child_span("SET", ABOUT):
                self.call("SET", name, nonce + self._sealing.encrypt(nonce, value, name.encode()), "EX", seconds)
        except StoreUnavailable:
            return

    def _name(self, kind: Kind, asked: str) -> str:
        """``sigilo:cache:<kind>:<HMAC-SHA-256 of release and what was asked, in hex>``: while two releases serve, what
        one wrote in its own shape is not found by the other."""
        asked_here = f"{PRODUCT_VERSION}\0{asked}"
        return f"{PREFIX}:{kind.value}:{hmac.digest(self._naming, asked_here.encode(), hashlib.sha256).hex()}"

    def _opened(self, name: str, sealed: bytes) -> bytes | None:
        """None for what was sealed with another key, or for another name, or by nobody."""
        try:
            return self._sealing.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            return None


def make_cache(url: str, secret: str) -> Cache:
    """The cache at a Redis ``url``; none at all where it is empty."""
    return RedisCache(url, secret) if url else NoCache()


def _derived(secret: str, use: str) -> bytes:
    """A key of 32 bytes for one use (HMAC-SHA-256 as a pseudo-random function over a secret of full strength)."""
    return hmac.digest(secret.encode(), f"sigilo cache {use}".encode(), hashlib.sha256)
