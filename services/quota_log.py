"""Keep a bounded record of refused and near-quota requests, for the people who set quotas."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass

import psycopg
import sqlalchemy.exc
import structlog

from config import Principal
from models import new_id
from models.engine import Databases
from services.quota import Bucket, Decision

EVERY_SECONDS = 1.0  # at most one row a second for one principal and outcome
ROWS_PER_SECOND = 20  # of one process, whoever it is about
KEYS_MAX = 10_000

INSERT = """
INSERT INTO rate_limit_log (id, bucket, outcome, user_id, token_id, ip, route, quota, retry_after)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spender:
    """Whose quota it was. ``route`` is the rule, never the path."""

    user_id: uuid.UUID | None = None
    token_id: uuid.UUID | None = None
    ip: str | None = None
    route: str | None = None


class QuotaLog:
    """Writes rows as the anonymous principal, which may insert here and read nothing."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._lock = threading.Lock()
        self._written: dict[tuple[object, ...], float] = {}
        self._second = 0
        self._rows = 0

    def note(self, bucket: Bucket, decision: Decision, spender: Spender) -> None:
        """Write a row for a refused or near-quota request, unless one like it was just written."""
        if decision.allowed and not decision.is_near:
            return
        outcome = "near" if decision.allowed else "refused"
        if not self._is_due((bucket, outcome, spender.token_id or spender.user_id or spender.ip)):
            return
        row = (
            new_id(), bucket.value, outcome, spender.user_id, spender.token_id, spender.ip, spender.route,
            f"{decision.limit}/{decision.window_seconds}s", None if decision.allowed else decision.reset_seconds,
        )  # fmt: skip
        try:
            with self._databases.autocommit(Principal.ANONYMOUS) as connection:
                connection.execute(INSERT, row)
        except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError):
            # The answer to the request stands; what is lost is a line of statistics.
            log.warning("rate_limit_log_failed", exc_info=True)

    def _is_due(self, key: tuple[object, ...]) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._written.get(key, -EVERY_SECONDS) < EVERY_SECONDS:
                return False
            if int(now) != self._second:
                self._second, self._rows = int(now), 0
            if self._rows >= ROWS_PER_SECOND:
                return False
            if len(self._written) >= KEYS_MAX:
                self._written = {known: at for known, at in self._written.items() if now - at < EVERY_SECONDS}
            self._written[key] = now
            self._rows += 1
        return True
