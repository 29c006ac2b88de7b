"""What everybody in the clinic knows of each other: who is there, who waits for whom, who is being seen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from load.people import Person


@dataclass
class Room:
    """Changed by everybody at once, in one thread. Names of patients are the made-up clinic's."""

    people: Sequence[Person]
    names: dict[str, str]  # of patients, by id
    slowest_thought: float  # seconds; the mean is half of it and a little
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    chance: random.Random = field(default_factory=random.Random)
    arrived: set[str] = field(default_factory=set)  # patients who were checked in
    taken: set[str] = field(default_factory=set)  # visits that somebody is busy with, or that are over

    async def think(self) -> None:
        """Read, listen, type: a quarter of the longest to the longest; shorter when it all ends."""
        seconds = self.chance.uniform(self.slowest_thought / 4, self.slowest_thought)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), seconds)

    def of_role(self, role: str) -> list[Person]:
        return [person for person in self.people if person.role == role]

    def somebody_new(self) -> tuple[str, Person] | None:
        """A patient who is not here yet, and the doctor whom they come to; they count as here from now on."""
        doctors = self.of_role("doctor")
        self.chance.shuffle(doctors)
        for doctor in doctors:
            away = [patient for patient in doctor.patients if patient not in self.arrived]
            if away:
                chosen = self.chance.choice(away)
                self.arrived.add(chosen)
                return chosen, doctor
        return None

    def take(self, visits: Sequence[str]) -> str | None:
        """The first of ``visits`` that nobody is busy with, for oneself."""
        for visit in visits:
            if visit not in self.taken:
                self.taken.add(visit)
                return visit
        return None

    def give_back(self, visit: str) -> None:
        self.taken.discard(visit)
