"""Whether the clinic could be restored: when the newest backup was made that a drill has restored, and what failed
since.

A backup counts when its last drill passed and it lies in the store. One that says it was made in the future was made
by a wrong clock and counts for nothing until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.record_fields import time_text

LATE = timedelta(hours=26)  # a day, and the time that a backup and its drill may take
# Of what the anonymous role may see.
GOOD_AT = """(SELECT max(finished_at) FROM backups
    WHERE state = 'VERIFIED' AND pruned_at IS NULL AND finished_at <= now() + interval '5 minutes')"""
# What waits or has shown no progress for longer than a day is being done by nobody. What was found in the store after a
# restore waits for no drill.
AT_WORK = """(EXISTS (SELECT FROM backups WHERE state IN ('PENDING', 'RUNNING')
        AND coalesce(heartbeat_at, created_at) > now() - interval '26 hours')
    OR EXISTS (SELECT FROM backup_drills WHERE state = 'RUNNING' AND heartbeat_at > now() - interval '26 hours')
    OR EXISTS (SELECT FROM backups b WHERE b.state = 'DONE' AND b.origin <> 'FOUND' AND b.pruned_at IS NULL
        AND b.finished_at > now() - interval '26 hours'
        AND NOT EXISTS (SELECT FROM backup_drills d WHERE d.backup_id = b.id)))"""
NOTED_PLACES = """(SELECT coalesce(max(a.places), 0) FROM audit_alarms a WHERE a.noted_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM backup_drills i JOIN backups o ON o.id = i.backup_id WHERE i.state = 'PASSED' AND i.trail_problems = 0
        AND o.finished_at > a.noted_at AND o.finished_at <= now() + interval '5 minutes'))"""
# What somebody should look into, by name, when it is so; the first backup of all is given its time.
TROUBLES = {
    "late": f"coalesce(now() - {GOOD_AT} > interval '{int(LATE.total_seconds())} s', NOT {AT_WORK})",
    "failed": "(SELECT state = 'FAILED' FROM backups WHERE finished_at IS NOT NULL"
    " ORDER BY finished_at DESC, id DESC LIMIT 1)",
    # Could not be made: its key, its room or its server was missing, and nothing is known of the backup.
    "drill-failed": "(SELECT state = 'FAILED' AND NOT is_damaged FROM backup_drills WHERE finished_at IS NOT NULL"
    " ORDER BY finished_at DESC, id DESC LIMIT 1)",
    # What came out is not what was backed up.
    "drill-damaged": "(SELECT state = 'FAILED' AND is_damaged FROM backup_drills WHERE finished_at IS NOT NULL"
    " ORDER BY finished_at DESC, id DESC LIMIT 1)",
    # Of the newest backup, and not the newest drill: one from before the damage, drilled by hand to look at it, knows
    # nothing of it. Over when an auditor took note of the alarm about as many places, with a reason and an event of
    # its own (services/audit_findings.py), until a backup from after that is intact: then what comes is new.
    "trail-damaged": f"(SELECT d.trail_problems > {NOTED_PLACES} FROM backup_drills d"
    " JOIN backups b ON b.id = d.backup_id WHERE d.state = 'PASSED' AND b.finished_at <= now() + interval '5 minutes'"
    " ORDER BY b.finished_at DESC, d.finished_at DESC, d.id DESC LIMIT 1)",
    "clock": "EXISTS (SELECT FROM backups WHERE finished_at > now() + interval '5 minutes')",
}
_NAMED = ", ".join(f"CASE WHEN {so} THEN '{name}' END" for name, so in TROUBLES.items())
ALERTS = f"array_remove(ARRAY[{_NAMED}], NULL)"
STANDING = f"""
    SELECT {GOOD_AT}, {ALERTS},
        (SELECT restore_seconds FROM backup_drills WHERE state = 'PASSED' ORDER BY finished_at DESC LIMIT 1),
        EXISTS (SELECT FROM backups)
"""
REASONS = """
    SELECT (SELECT failure FROM backups WHERE state = 'FAILED' ORDER BY finished_at DESC, id DESC LIMIT 1) AS backup,
        (SELECT failure FROM backup_drills WHERE state = 'FAILED' ORDER BY finished_at DESC, id DESC LIMIT 1) AS drill
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """``good_at``: when the newest backup ended that counts; ``alerts``: of ``TROUBLES``, those that there are;
    ``restore_seconds``: how long restoring one took last."""

    good_at: datetime | None
    alerts: list[str]
    restore_seconds: float | None
    has_any: bool


def backup_standing(session: Session) -> dict[str, Any]:
    """``{"goodAt", "restoreSeconds", "alerts", "failure", "drillFailure"}`` as staff: for pages. The two reasons are
    sentences, None where the newest did not fail."""
    standing = read_standing(session.execute(text(STANDING)).one())
    reasons = session.execute(text(REASONS)).one()
    return {
        "goodAt": time_text(standing.good_at),
        "restoreSeconds": standing.restore_seconds,
        "alerts": standing.alerts,
        "failure": reasons.backup if "failed" in standing.alerts else None,
        "drillFailure": reasons.drill if {"drill-failed", "drill-damaged"} & {*standing.alerts} else None,
    }


def read_standing(row: Sequence[Any]) -> Standing:
    """From the row of ``STANDING``."""
    return Standing(*row)
