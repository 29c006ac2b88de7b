"""The last day and the last two weeks of the installation, for charts: counts, seconds and sizes, nobody's data.

All of it stands in tables that are there for other reasons; what they forget (sessions, refusals, answers) is not
missed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.actor import Actor
from services.permissions import Permission

HOURS, DAYS, BACKUPS = 24, 14, 14
# One round trip: (series, when, number). Hours and days begin where the clinic is.
HISTORY = text(
    f"""
    WITH hours AS MATERIALIZED (SELECT at, sealed, longest_wait FROM audit_hours(CAST(:day AS timestamptz)))
    SELECT 'acts', at, sealed::float FROM hours
    UNION ALL
    SELECT 'waits', at, longest_wait FROM hours
    UNION ALL
    SELECT 'refusals', date_trunc('hour', occurred_at), count(*)
        FROM rate_limit_log WHERE outcome = 'refused' AND occurred_at >= CAST(:day AS timestamptz) GROUP BY 2
    UNION ALL
    SELECT 'sign_ins', date_trunc('hour', created_at), count(*)
        FROM sessions WHERE created_at >= CAST(:day AS timestamptz) GROUP BY 2
    UNION ALL
    SELECT 'questions', date_trunc('hour', created_at), count(*)
        FROM ai_requests WHERE created_at >= CAST(:day AS timestamptz) GROUP BY 2
    UNION ALL
    SELECT 'failures', date_trunc('day', failed_at, :zone), count(*)
        FROM dead_letters WHERE failed_at >= CAST(:weeks AS timestamptz) GROUP BY 2
    UNION ALL
    (SELECT unnest(ARRAY['backup_megabytes', 'backup_seconds', 'restore_seconds']), b.finished_at,
        unnest(ARRAY[b.size / 1e6, extract(epoch FROM b.finished_at - b.started_at), d.restore_seconds])
        FROM backups b LEFT JOIN LATERAL (
            SELECT restore_seconds FROM backup_drills
            WHERE backup_id = b.id AND state = 'PASSED' ORDER BY finished_at DESC LIMIT 1
        ) d ON TRUE
        WHERE b.state = 'VERIFIED' ORDER BY b.finished_at DESC LIMIT {3 * BACKUPS})
    """
)
HOURLY = ("acts", "waits", "refusals", "sign_ins", "questions")
NIGHTLY = ("backup_megabytes", "backup_seconds", "restore_seconds")
Points = list[tuple[str, float]]


def system_history(session: Session, actor: Actor, now: datetime, clinic: tzinfo) -> dict[str, Points]:
    """Series name → (label, number), oldest first: those of ``HOURLY`` for each of the last 24 hours (``waits``: the
    longest that an event waited to be sealed, in seconds), ``failures`` for each of 14 days, those of ``NIGHTLY`` for
    the last 14 good backups. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    hours, days = list(_hours(now)), list(_days(now.astimezone(clinic)))
    found: dict[str, dict[datetime, float]] = {}
    for name, at, number in session.execute(HISTORY, {"day": hours[0], "weeks": days[0], "zone": str(clinic)}):
        if number is not None:
            found.setdefault(name, {})[at] = round(float(number), 1)
    shown = {name: _each(hours, found.get(name, {}), "%H:%M", clinic) for name in HOURLY}
    shown["failures"] = _each(days, found.get("failures", {}), "%d/%m", clinic)
    for name in NIGHTLY:
        shown[name] = _each(sorted(found.get(name, {})), found.get(name, {}), "%d/%m", clinic)
    return shown


def _each(moments: list[datetime], numbers: dict[datetime, float], label: str, clinic: tzinfo) -> Points:
    """A point for each moment; where nothing was counted, nothing happened."""
    return [(moment.astimezone(clinic).strftime(label), numbers.get(moment, 0.0)) for moment in moments]


def _hours(now: datetime) -> Iterator[datetime]:
    """The beginnings of the last 24 hours, the one that is going on included."""
    newest = now.replace(minute=0, second=0, microsecond=0)
    yield from (newest - timedelta(hours=back) for back in range(HOURS - 1, -1, -1))


def _days(now: datetime) -> Iterator[datetime]:
    """The beginnings of the last days, at the clinic's midnight."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    yield from (today - timedelta(days=back) for back in range(DAYS - 1, -1, -1))
