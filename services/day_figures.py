"""The clinic's day in numbers: how many wait, how long they waited, how much was written.

Sums over everybody, which say nothing of anybody: no event is written for them.

The days' sums of records are remembered until a record changes or the minute is over: a start page that is open on many
screens asks for them at every change, on all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from integrations.cache import Cache, Kind
from services.actor import Actor
from services.change_token import RECORDS as RECORDS_STATE
from services.permissions import Permission
from services.record_write import OPEN_FOR

DAYS = 14
KEPT_SECONDS = 60
STATE = text(f"SELECT md5({RECORDS_STATE})")

VISITS = text(
    """
    SELECT
        count(*) FILTER (WHERE status = 'WAITING') AS waiting,
        count(*) FILTER (WHERE status = 'WAITING' AND priority = 'CRITICAL') AS critical,
        count(*) FILTER (WHERE status = 'IN_CARE') AS in_care,
        count(*) FILTER (WHERE status = 'DONE' AND closed_at >= :today) AS done,
        count(*) FILTER (WHERE status = 'LEFT' AND closed_at >= :today) AS left_uncared,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM called_at - arrived_at))
            FILTER (WHERE called_at >= :today) AS median_wait
    FROM (
        SELECT status, priority, arrived_at, called_at, closed_at FROM visits WHERE status IN ('WAITING', 'IN_CARE')
        UNION ALL
        SELECT status, priority, arrived_at, called_at, closed_at FROM visits
        WHERE status IN ('DONE', 'LEFT') AND arrived_at >= :yesterday
    ) v
    """
)
RECORDS = text(
    """
    SELECT
        (occurred_at AT TIME ZONE :zone)::date AS day,
        count(*) AS number,
        count(*) FILTER (WHERE (occurred_at AT TIME ZONE :zone)::time <= CAST(:clock AS time)) AS by_now
    FROM medical_records
    WHERE deleted_at IS NULL AND occurred_at >= :since AND occurred_at <= :now
    GROUP BY 1
    """
)
# A record that is still open was changed within the time that records stay open, which the index knows.
OWN = text(
    f"""
    SELECT
        (SELECT count(*) FROM medical_records
        WHERE author_id = :me AND deleted_at IS NULL AND closes_at > now()
            AND updated_at > now() - interval '{int(OPEN_FOR.total_seconds())} seconds') AS open_records,
        (SELECT count(*) FROM break_glass_grants WHERE granted_at >= :today) AS emergency_accesses
    """
)


@dataclass(frozen=True, slots=True)
class VisitFigures:
    """``median_wait``: minutes from arrival to call of those called today; None before the first."""

    waiting: int
    critical: int
    in_care: int
    done: int
    left: int
    median_wait: int | None


@dataclass(frozen=True, slots=True)
class RecordFigures:
    """``per_day``: the last 14 days, today last. ``difference``: today's records against those of the same day
    last week by the same hour."""

    today: int
    difference: int
    per_day: tuple[tuple[date, int], ...]
    open_records: int  # the actor's own
    emergency_accesses: int  # today, the whole clinic's


def visit_figures(session: Session, actor: Actor, zone: ZoneInfo) -> VisitFigures:
    """Raises Forbidden."""
    actor.require(Permission.VISIT_READ)
    today = _midnight(datetime.now(zone).date(), zone)
    row = session.execute(VISITS, {"today": today, "yesterday": today - timedelta(days=1)}).one()
    median = None if row.median_wait is None else round(float(row.median_wait) / 60)
    return VisitFigures(row.waiting, row.critical, row.in_care, row.done, row.left_uncared, median)


def record_figures(session: Session, actor: Actor, zone: ZoneInfo, cache: Cache) -> RecordFigures:
    """Raises Forbidden."""
    actor.require(Permission.RECORD_READ)
    now = datetime.now(zone)
    days = [now.date() - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    found = _records_of(session, actor, now, days[0], zone, cache)
    own = session.execute(OWN, {"me": actor.user_id, "today": _midnight(now.date(), zone)}).one()
    _, last_week = found.get(now.date() - timedelta(days=7), (0, 0))
    today, _ = found.get(now.date(), (0, 0))
    return RecordFigures(
        today=today,
        difference=today - last_week,
        per_day=tuple((day, found.get(day, (0, 0))[0]) for day in days),
        open_records=own.open_records,
        emergency_accesses=own.emergency_accesses,
    )


def _records_of(
    session: Session, actor: Actor, now: datetime, since: date, zone: ZoneInfo, cache: Cache
) -> dict[date, tuple[int, int]]:
    """Day → (records, those before this hour), of the days from ``since`` on that have any.

    What is remembered is asked for by the state that records had before they were summed up: sums that are newer than
    their state are asked for by nobody, and none are older.
    """
    state = session.execute(STATE).scalar_one()
    asked = f"records|{actor.role.value}|{zone}|{now:%Y-%m-%dT%H:%M}|{state}"
    kept = cache.get(Kind.FIGURES, asked)
    if kept is not None:
        return {date.fromisoformat(day): (number, by_now) for day, number, by_now in orjson.loads(kept)}
    found = session.execute(
        RECORDS, {"zone": str(zone), "since": _midnight(since, zone), "now": now, "clock": now.time().isoformat()}
    ).all()
    rows = [(row.day.isoformat(), row.number, row.by_now) for row in found]
    cache.put(Kind.FIGURES, asked, orjson.dumps(rows), KEPT_SECONDS)
    return {row.day: (row.number, row.by_now) for row in found}


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """When ``day`` begins in the clinic, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
