"""Who holds a bearer token, remembered for up to a minute, so that a read need not ask twice who calls.

What is remembered decides nothing by itself: a read confirms it in its own statement (``services/audited_read.py``),
and whoever reads nothing, writes, or is refused is looked up as ever (``web/authentication.py``). So a revoked token, a
disabled user, and a changed quota count at the next request, whatever is remembered where, and there is nothing to
invalidate.

Remembered in the process first, under the SHA-256 of the token; then in the cache, from which a process that was
started a moment ago, or another machine's, takes it. Patients are not: their role reads no tokens.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import asdict, fields
from typing import Any

import orjson

from integrations.cache import Cache, Kind
from models.engine import Databases
from models.user import Role
from services.authenticate import Identity, Known, look_up_token, secret_hash

TOKENS_MAX = 1_000  # in one process
MOMENT = 1.0  # seconds by which it ends earlier: whoever writes the time of last use next finds nobody remembering
PARTS = {part.name for part in fields(Identity)}
IDS = ("user_id", "patient_id", "token_id", "session_id")


class RememberedCallers:
    """One process' memory of callers, over a cache that it shares with others. Threads share it."""

    def __init__(self, databases: Databases, cache: Cache) -> None:
        self._databases = databases
        self._cache = cache
        self._lock = threading.Lock()
        self._here: dict[bytes, tuple[Known, float]] = {}  # digest → (who, until when on the monotonic clock)

    def recall(self, token: str) -> Known | None:
        """Who held ``token`` when it was last looked up; None when nobody remembers."""
        digest = secret_hash(token)
        found = self._here.get(digest)
        if found is not None and found[1] > time.monotonic():
            return found[0]
        known = self._from_cache(digest)
        if known is not None:
            self._keep_here(digest, known)
        return known

    def look_up(self, token: str) -> Known | None:
        """Who holds ``token`` now, to be remembered; None when it is unknown, expired or revoked, or its user
        disabled."""
        digest, known = secret_hash(token), look_up_token(self._databases, token)
        if known is None or known.identity.role == Role.PATIENT:
            self._here.pop(digest, None)
            return known
        self._keep_here(digest, known)
        kept = {**asdict(known), "until": time.time() + known.seconds}
        self._cache.put(Kind.TOKEN, digest.hex(), orjson.dumps(kept), int(known.seconds))
        return known

    def _keep_here(self, digest: bytes, known: Known) -> None:
        with self._lock:
            while len(self._here) >= TOKENS_MAX and digest not in self._here:
                del self._here[next(iter(self._here))]
            self._here[digest] = known, time.monotonic() + known.seconds - MOMENT

    def _from_cache(self, digest: bytes) -> Known | None:
        found = self._cache.get(Kind.TOKEN, digest.hex())
        if found is None:
            return None
        kept: dict[str, Any] = orjson.loads(found)
        seconds, who = kept["until"] - time.time(), kept["identity"]
        if seconds <= MOMENT or who.keys() != PARTS:  # kept by a release whose identities have other parts
            return None
        who |= {name: uuid.UUID(who[name]) for name in IDS if who[name] is not None}
        return Known(Identity(**who), kept["token_row"], kept["user_version"], seconds)
