"""Which backups are kept: grandfather, father, son.

Of the verified ones, the newest of each of the last so many days, weeks (ISO 8601) and months that have one, in the
clinic's time. Days without a backup count for nothing, so a machine that was off for a month loses none. One that no
drill has passed displaces none; it goes when it is older than all that the days keep.

One that says it was made in the future was made by a wrong clock, and stands apart: it takes nobody's place. Which is
newer the trail tells, whose numbers no clock gives: it goes when as many verified ones as the days keep hold more of
it.

Those found in the store after a restore were verified in a life of the database that it has forgotten, and nobody
drills them again. They keep their days, weeks and months until a verified one takes each.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

SKEW = timedelta(minutes=5)  # between two clocks that are right


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup that lies in the store. ``is_found``: known from there alone, after a restore; ``head``: number of the
    trail's newest event in it."""

    id: uuid.UUID
    finished_at: datetime
    is_verified: bool
    is_found: bool = False
    head: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """How many days, weeks and months."""

    daily: int
    weekly: int
    monthly: int


def to_delete(stored: Iterable[Kept], policy: Policy, zone: tzinfo, now: datetime) -> set[uuid.UUID]:
    """What is kept no longer. Never the newest verified one, and nothing while none is verified."""
    present: list[Kept] = []
    future: list[Kept] = []
    for each in stored:
        (future if each.finished_at > now + SKEW else present).append(each)
    heads = [each.head for each in present if each.is_verified]
    overtaken = {each.id for each in future if sum(head > each.head for head in heads) >= policy.daily}
    return _old(present, policy, zone) | overtaken


def _old(stored: Iterable[Kept], policy: Policy, zone: tzinfo) -> set[uuid.UUID]:
    newest_first = sorted(stored, key=lambda each: (each.finished_at, each.id), reverse=True)
    verified = [each for each in newest_first if each.is_verified]
    if not verified:
        return set()
    of_days = _newest_of_each(verified, _day, policy.daily, zone)
    # The found ones beside, among which each of these stands in its place too.
    of_all = [each for each in newest_first if each.is_verified or each.is_found]
    keep = {verified[0].id, *_generations(verified, policy, zone), *_generations(of_all, policy, zone)}
    oldest_day = min((each.finished_at for each in of_days), default=verified[0].finished_at)
    return {
        each.id for each in newest_first if each.id not in keep and (each.is_verified or each.finished_at < oldest_day)
    }


def _generations(newest_first: Sequence[Kept], policy: Policy, zone: tzinfo) -> set[uuid.UUID]:
    kept = [
        *_newest_of_each(newest_first, _day, policy.daily, zone),
        *_newest_of_each(newest_first, _week, policy.weekly, zone),
        *_newest_of_each(newest_first, _month, policy.monthly, zone),
    ]
    return {each.id for each in kept}


def _day(at: datetime) -> object:
    return at.date()


def _week(at: datetime) -> object:
    return at.isocalendar()[:2]


def _month(at: datetime) -> object:
    return at.year, at.month


def _newest_of_each(
    newest_first: Sequence[Kept], period: Callable[[datetime], object], count: int, zone: tzinfo
) -> list[Kept]:
    """Of each of the newest periods one: a verified one where there is one."""
    kept: dict[object, Kept] = {}
    for each in newest_first:
        name = period(each.finished_at.astimezone(zone))
        if name not in kept or (each.is_verified and not kept[name].is_verified):
            kept[name] = each
    return list(kept.values())[:count]


def locked_until(stored: Iterable[Kept], policy: Policy, zone: tzinfo, now: datetime) -> dict[uuid.UUID, datetime]:
    """Of the verified ones that stay for their week or month, until when they will surely be kept: as many more weeks
    or months have to begin before they go. Only where theirs is over, for until then each day brings a newer one that
    takes its place; and none that says it was made in the future, by a wrong clock: a lock can't be taken back."""
    verified = [each for each in stored if each.is_verified and each.finished_at <= now]
    newest_first = sorted(verified, key=lambda each: (each.finished_at, each.id), reverse=True)
    found: dict[uuid.UUID, datetime] = {}
    for period, count, begin in ((_week, policy.weekly, _week_begins), (_month, policy.monthly, _month_begins)):
        settled = _newest_of_each(newest_first, period, count, zone)[1:]
        for place, each in enumerate(settled, 1):
            until = begin(newest_first[0].finished_at.astimezone(zone), count - place)
            found[each.id] = max(until, found.get(each.id, until))
    return found


def _week_begins(at: datetime, later: int) -> datetime:
    """The Monday so many weeks after that of ``at``."""
    day = at.date() - timedelta(days=at.weekday()) + timedelta(weeks=later)
    return datetime(day.year, day.month, day.day, tzinfo=at.tzinfo)


def _month_begins(at: datetime, later: int) -> datetime:
    """The first of the month so many months after that of ``at``."""
    months = at.year * 12 + at.month - 1 + later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=at.tzinfo)
