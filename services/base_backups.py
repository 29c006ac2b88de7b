"""What PostgreSQL's own archive could bring back: how old its base backups are, and whether changes since are missing.

Past ``archive-push-queue-max`` pgBackRest drops WAL and calls it archived, so neither PostgreSQL nor its age tells. The
database's machine, where pgBackRest is, looks every few minutes and writes down what it found
(``deploy/postgres/keep-archive``); here it is read. Where nobody ever wrote, the archive is another program's or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.record_fields import time_text

FULL_LATE = timedelta(days=8)
DIFFERENTIAL_LATE = timedelta(hours=26)
UNSEEN = timedelta(hours=3)  # it is every five minutes, but for as long as a base backup takes
# Of the row, what somebody should look into, by name, when it is so.
TROUBLES = {
    "unseen": f"now() - noted_at > interval '{int(UNSEEN.total_seconds())} s'",
    "gap": "missing > 0",
    "full-late": f"coalesce(now() - full_at > interval '{int(FULL_LATE.total_seconds())} s', TRUE)",
    "differential-late": "coalesce(now() - differential_at >"
    f" interval '{int(DIFFERENTIAL_LATE.total_seconds())} s', TRUE)",
}
_NAMED = ", ".join(f"CASE WHEN {so} THEN '{name}' END" for name, so in TROUBLES.items())
ROW = f"""
    SELECT now(), noted_at, full_at, differential_at, missing, array_remove(ARRAY[{_NAMED}], NULL) AS alerts
    FROM archive_standing
"""
HERE = "current_setting('archive_mode') <> 'off'"  # and not as a database of production's on a machine of no archive
BASES = f"""
    {ROW} WHERE {HERE} UNION ALL SELECT now(), NULL, NULL, NULL, NULL, NULL ORDER BY 2 NULLS LAST LIMIT 1
"""
ALERTS = f"coalesce((SELECT alerts FROM ({ROW} WHERE {HERE}) base), '{{}}')"


@dataclass(frozen=True, slots=True)
class BaseBackups:
    """``full_at``, ``differential_at``: when the newest full one ended, and the newest of either kind; ``missing``:
    files of WAL since then that are not there; ``alerts``: of ``TROUBLES``, those that there are."""

    now: datetime
    noted_at: datetime
    full_at: datetime | None
    differential_at: datetime | None
    missing: int
    alerts: list[str]

    @property
    def is_unseen(self) -> bool:
        """Nobody has looked for a while."""
        return "unseen" in self.alerts

    def age(self, at: datetime | None) -> float | None:
        """Seconds since ``at``."""
        return None if at is None else max(0.0, (self.now - at).total_seconds())


def base_backups(session: Session) -> dict[str, Any] | None:
    """``{"notedAt", "fullAt", "differentialAt", "missing", "alerts"}`` for pages; None where nobody says."""
    found = read_bases(session.execute(text(BASES)).one())
    if found is None:
        return None
    return {
        "notedAt": time_text(found.noted_at),
        "fullAt": time_text(found.full_at),
        "differentialAt": time_text(found.differential_at),
        "missing": found.missing,
        "alerts": found.alerts,
    }


def read_bases(row: Sequence[Any]) -> BaseBackups | None:
    """From the row of ``BASES``."""
    return None if row[1] is None else BaseBackups(*row)
