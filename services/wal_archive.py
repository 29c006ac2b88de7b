"""How late PostgreSQL's own archive of changes is, where it has one: what point-in-time recovery could not bring back.

A clinic asleep writes next to nothing, and nothing is archived then: late is only an archive that WAL waits for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

LATE = timedelta(minutes=2)  # archive_timeout is half a minute in production, and no more than a minute may be lost
LITTLE = 1 << 20  # bytes: what an idle server writes in a night lies far below
SEGMENT_NAME = re.compile("[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})")
ARCHIVE = """
    SELECT now(), current_setting('archive_mode') <> 'off', pg_is_in_recovery(), a.last_archived_wal,
        coalesce(a.last_archived_time, a.stats_reset, pg_postmaster_start_time()),
        a.last_failed_time > coalesce(a.last_archived_time, '-infinity'),
        CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_wal_lsn() - '0/0'::pg_lsn END,
        (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')
    FROM pg_stat_archiver a
"""


@dataclass(frozen=True, slots=True)
class WalArchive:
    """``age``: since the newest change that is archived; ``waiting``: bytes of WAL that are not."""

    age: timedelta
    waiting: int
    is_failing: bool

    @property
    def is_late(self) -> bool:
        return self.is_failing or (self.age > LATE and self.waiting > LITTLE)


def wal_archive(session: Session) -> dict[str, Any] | None:
    """``{"ageSeconds", "waitingBytes", "isLate"}`` for pages; None where the server archives nothing."""
    found = read_archive(session.execute(text(ARCHIVE)).one())
    if found is None:
        return None
    return {"ageSeconds": int(found.age.total_seconds()), "waitingBytes": found.waiting, "isLate": found.is_late}


def read_archive(row: Any) -> WalArchive | None:
    """From the row of ``ARCHIVE``. Of a standby the primary's says it."""
    now, is_on, is_standby, last, archived_at, is_failing, written, segment = row
    if not is_on or is_standby:
        return None
    return WalArchive(_since(now, archived_at), max(0, int(written) - _end(last, segment)), bool(is_failing))


def _since(now: datetime, then: datetime) -> timedelta:
    return max(now - then, timedelta(0))


def _end(segment: str | None, size: int) -> int:
    """The position in the WAL where the file ``segment`` (timeline, high and low half of its number) ends."""
    found = SEGMENT_NAME.match(segment or "")
    if found is None:
        return 0
    high, low = (int(half, 16) for half in found.groups())
    return (high << 32) + (low + 1) * size
