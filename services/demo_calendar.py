"""When a demo clinic works: a year of days and hours as a Brazilian outpatient clinic fills them.

Weekdays only, Mondays full and Fridays thin, January and the end of December quiet, closed on national
holidays and over Carnival; from 8 to 18 o'clock in the clinic's zone, with peaks at ten and three.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

RECEPTION_OPENS, OPENS, CLOSES = time(7, 30), time(8), time(18)
YEAR = 365  # days
WEEKDAY_WEIGHTS = (1.35, 1.1, 1.0, 1.0, 0.85, 0.0, 0.0)
MONTH_WEIGHTS = {1: 0.65, 7: 0.9}
YEAR_END = (12, 20)  # from here on, half of the usual
HOUR_WEIGHTS = {8: 0.8, 9: 1.3, 10: 1.5, 11: 1.1, 12: 0.3, 13: 0.7, 14: 1.2, 15: 1.3, 16: 0.9, 17: 0.4}
# Fixed national holidays, Lei 662/1949 as amended by Lei 14.759/2023: (month, day).
HOLIDAYS = frozenset({(1, 1), (4, 21), (5, 1), (9, 7), (10, 12), (11, 2), (11, 15), (11, 20), (12, 25)})
# Days from Easter: Carnival Monday and Tuesday, Ash Wednesday, Good Friday, Corpus Christi.
MOVABLE = (-48, -47, -46, -2, 60)
JUST_NOW = timedelta(minutes=10)


class ClinicCalendar:
    """The working days of the year that ends ``now``. All moments given and taken are aware, results in UTC."""

    def __init__(self, rng: random.Random, now: datetime, zone: ZoneInfo) -> None:
        self._rng = rng
        self._zone = zone
        self.now = now
        self.today = now.astimezone(zone).date()
        days = [self.today - timedelta(days=back) for back in range(YEAR, -1, -1)]
        self.days = [day for day in days if is_open(day)]
        if now - JUST_NOW <= self.at(self.today, OPENS):
            self.days = [day for day in self.days if day != self.today]
        self._sums = list(accumulate(weight_of(day) for day in self.days))

    def day(self, *, since: date | None = None) -> date:
        """A working day of the year, busy ones more often; not before ``since`` where that leaves any."""
        first = 0 if since is None else min(bisect_left(self.days, since), len(self.days) - 1)
        below = self._sums[first - 1] if first else 0.0
        return self.days[bisect_left(self._sums, self._rng.uniform(below, self._sums[-1]), first)]

    def near(self, day: date) -> date | None:
        """The first working day from ``day`` on; none when that is still to come."""
        place = bisect_left(self.days, day)
        return self.days[place] if place < len(self.days) else None

    def moment(self, day: date) -> datetime:
        """A time on ``day`` while the clinic is open, and not in the future."""
        while True:
            hour = self._rng.choices(list(HOUR_WEIGHTS), list(HOUR_WEIGHTS.values()))[0]
            made = self.at(day, time(hour, self._rng.randrange(60), self._rng.randrange(60)))
            if day < self.today or made <= self.now - JUST_NOW:
                return made
            if self._rng.random() < 0.05:  # early in the day few hours lie behind us
                return self.at(day, OPENS) + timedelta(seconds=self._rng.randrange(300))

    def at(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self._zone).astimezone(UTC)

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone)

    def is_working_time(self, moment: datetime) -> bool:
        """Whether somebody could have written something then: open hours of a past or present working day."""
        local = self.local(moment)
        return is_open(local.date()) and OPENS <= local.time() < CLOSES and moment <= self.now


def is_open(day: date) -> bool:
    """Whether the clinic works on this day at all."""
    if WEEKDAY_WEIGHTS[day.weekday()] == 0 or (day.month, day.day) in HOLIDAYS:
        return False
    return (day - easter(day.year)).days not in MOVABLE


def weight_of(day: date) -> float:
    """How busy a working day is; an ordinary Wednesday is 1."""
    quiet = 0.5 if (day.month, day.day) >= YEAR_END else 1.0
    return WEEKDAY_WEIGHTS[day.weekday()] * MONTH_WEIGHTS.get(day.month, 1.0) * quiet


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Astronomical Algorithms, chapter 8)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    h = (19 * a + b - d - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)
