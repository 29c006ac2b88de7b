"""Dates and times as sources write them, checked and brought to UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

FIRST_YEAR = 1850
# Clocks differ; a record of tomorrow does not exist.
AHEAD = timedelta(days=1)
END_OF_TIME = datetime(9990, 1, 1, tzinfo=UTC)
MOMENT = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?P<fraction>\.\d{1,9})?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


class TimeRefused(ValueError):
    """A date or time that means nothing, or nothing possible. The text says why, without the value."""


class Moment(NamedTuple):
    """A point in time, and how finely the source knew it."""

    at: datetime  # in UTC; of a bare date, month or year its first instant in the clinic's zone
    until: datetime  # the same, or the instant at which that date, month or year is over


def read_moment(value: object, zone: ZoneInfo, *, now: datetime) -> Moment:
    """FHIR dateTime or ISO 8601 with at least a year. Without an offset it is in the clinic's ``zone``.

    Raises TimeRefused for anything else, before 1850, or more than a day after ``now``.
    """
    match = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise TimeRefused("is no date or time")
    year, month, day = (int(match[name] or 1) for name in ("year", "month", "day"))
    try:
        if match["time"] is None:
            at = datetime(year, month, day, tzinfo=zone)
        else:
            # 23:59:60 is a leap second; Python and PostgreSQL know none.
            time = match["time"].replace(":60", ":59") if match["time"].count(":") == 2 else match["time"]
            fraction = (match["fraction"] or "")[:7]
            at = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}T{time}{fraction}{match['zone'] or ''}")
            at = at if at.tzinfo else at.replace(tzinfo=zone)
        at = at.astimezone(UTC)
        until = at if match["time"] else _end(year, month, day, match).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise TimeRefused("is no date or time that exists") from None
    if at.year < FIRST_YEAR:
        raise TimeRefused(f"is before {FIRST_YEAR}")
    if at > now + AHEAD:
        raise TimeRefused("lies in the future")
    return Moment(at, until)


def _end(year: int, month: int, day: int, match: re.Match[str]) -> datetime:
    if match["day"]:
        return datetime(year, month, day) + timedelta(days=1)  # noqa: DTZ001  (its zone is set by the caller)
    return datetime(year + (month == 12 or not match["month"]), month % 12 + 1 if match["month"] else 1, 1)  # noqa: DTZ001


def read_birth_date(value: object, *, now: datetime) -> tuple[date, bool]:
    """A birth date, and whether it is an estimate: of a bare year or month the first day is taken.

    Raises TimeRefused.
    """
    match = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match["time"] is not None:
        raise TimeRefused("is no date")
    try:
        born = date(int(match["year"]), int(match["month"] or 1), int(match["day"] or 1))
    except ValueError:
        raise TimeRefused("is no date that exists") from None
    if born.year < FIRST_YEAR:
        raise TimeRefused(f"is before {FIRST_YEAR}")
    if born > (now + AHEAD).date():
        raise TimeRefused("lies in the future")
    return born, match["day"] is None


def check_period(start: Moment, end: Moment) -> None:
    """Raises TimeRefused when ``end`` is before ``start``, or falls inside the bare date that is ``start``."""
    if end.at < start.at and end.until <= start.at:
        raise TimeRefused("ends before it starts")
    if end.at == end.until < start.until:
        raise TimeRefused("starts on a date without a time and ends at a time of that date: order unknown")
