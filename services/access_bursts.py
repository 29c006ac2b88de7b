"""When does what somebody did become too much? Pure: from events in the order of time to bursts of them.

Two ways to bound what is counted together: a window that slides along, and a night. Either way what is in one burst is
counted for no other.
"""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that counts: ``counted`` once, however often. ``patient_id``: whose data it was about, if anybody's."""

    at: datetime
    sequence: int
    counted: uuid.UUID
    role: str
    patient_id: uuid.UUID | None = None


@dataclass(slots=True)
class Burst:
    """Facts that belong together: those from the first on until ``ends_at``, included."""

    ends_at: datetime
    facts: list[Fact] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len({fact.counted for fact in self.facts})

    @property
    def patients(self) -> list[uuid.UUID]:
        """In the order they were first met."""
        return list(dict.fromkeys(fact.patient_id for fact in self.facts if fact.patient_id is not None))


@dataclass(frozen=True, slots=True)
class Window:
    """Any stretch of time of this length, both ends included."""

    length: timedelta

    def bursts(self, facts: Iterable[Fact], threshold: int) -> list[Burst]:
        """From the first time on that ``threshold`` things lie within the window; one ends a window after it began."""
        found: list[Burst] = []
        held: deque[Fact] = deque()
        counts: Counter[uuid.UUID] = Counter()
        for fact in facts:
            if found and fact.at <= found[-1].ends_at:
                found[-1].facts.append(fact)
                continue
            held.append(fact)
            counts[fact.counted] += 1
            while held[0].at < fact.at - self.length:
                gone = held.popleft().counted
                counts[gone] -= 1
                if not counts[gone]:
                    del counts[gone]
            if len(counts) >= threshold:
                found.append(Burst(held[0].at + self.length, list(held)))
                held.clear()
                counts.clear()
        return found


@dataclass(frozen=True, slots=True)
class Night:
    """The hours from ``from_hour`` until ``until_hour`` of ``zone``'s clock, across midnight where the first is the
    greater."""

    from_hour: int
    until_hour: int
    zone: tzinfo

    @property
    def length(self) -> timedelta:
        """As far back as the beginning of a night can lie."""
        return timedelta(days=1)

    def bursts(self, facts: Iterable[Fact], threshold: int) -> list[Burst]:
        """One for each night with at least ``threshold`` things in it."""
        nights: dict[date, Burst] = {}
        for fact in facts:
            evening = self._evening(fact.at)
            if evening is not None:
                nights.setdefault(evening, Burst(self._end(evening))).facts.append(fact)
        return [burst for burst in nights.values() if burst.count >= threshold]

    def _evening(self, at: datetime) -> date | None:
        """The day that the night of ``at`` began on; None by day."""
        local = at.astimezone(self.zone)
        if self.from_hour < self.until_hour:
            return local.date() if self.from_hour <= local.hour < self.until_hour else None
        if local.hour >= self.from_hour:
            return local.date()
        return local.date() - timedelta(days=1) if local.hour < self.until_hour else None

    def _end(self, evening: date) -> datetime:
        """The last moment of the night that began on ``evening``."""
        morning = evening if self.from_hour < self.until_hour else evening + timedelta(days=1)
        # ``until_hour`` itself is day already.
        return datetime.combine(morning, time(self.until_hour % 24), self.zone) + timedelta(
            days=self.until_hour // 24, microseconds=-1
        )
