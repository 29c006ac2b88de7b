"""What people come to a demo clinic with: common conditions, their wording, and whom they befall.

The tables in ``services/data`` are our own: CID-10 codes with their Portuguese titles, complaints as reception
writes them down, and diagnosis, treatment and notes as a Brazilian doctor would. ``{pa}`` and the like are
filled with vital signs that fit the patient.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import orjson

from services.restriction import must_be_restricted

DATA = Path(__file__).parent / "data"
FILES = ("demo_conditions_chronic.json", "demo_conditions_acute.json")
IN_SEASON = 3.0
FEVERS = ("A0", "A9", "H66", "J0", "J1", "U07")
SHORT_OF_BREATH = ("J18", "J44", "J45", "I50", "I20")
HIGH_PRESSURE = ("I10", "I50", "I20", "N18")


@dataclass(frozen=True)
class Extra:
    """An exam or a procedure that may follow a consultation."""

    title: str
    notes: str


@dataclass(frozen=True, eq=False)  # each is itself: the tables are read once
class Condition:
    """One row of the tables. ``ages`` are years, both ends included; ``months`` are when it is in season."""

    code: str
    name: str
    complaints: list[str]
    diagnosis: list[str]
    treatment: list[str]
    notes: list[str]
    weight: float
    ages: tuple[int, int]
    priority: str
    returns: list[str] = field(default_factory=list)
    sex: str | None = None
    chronic: bool = False
    months: tuple[int, ...] = ()
    kind: str = "CONSULTATION"
    exam: Extra | None = None
    procedure: Extra | None = None

    @property
    def restricted(self) -> bool:
        return must_be_restricted([self.code])

    def fits(self, age: int, sex: str) -> bool:
        return self.ages[0] <= age <= self.ages[1] and (self.sex is None or self.sex == sex)

    def weight_in(self, month: int) -> float:
        return self.weight * (IN_SEASON if month in self.months else 1.0)


@cache
def all_conditions() -> tuple[Condition, ...]:
    """The tables, read once."""
    rows = [row for name in FILES for row in orjson.loads((DATA / name).read_bytes())]
    return tuple(
        Condition(
            **row
            | {"ages": tuple(row["ages"]), "months": tuple(row.get("months", ()))}
            | {name: Extra(**row[name]) for name in ("exam", "procedure") if name in row}
        )
        for row in rows
    )


def vital_signs(
    rng: random.Random, condition: Condition, age: int, weight: float, *, is_return: bool
) -> dict[str, str]:
    """Placeholder → text, in the units the notes name: mmHg, beats and breaths a minute, °C, %, kg, mg/dL."""
    code = condition.code
    has_fever = code.startswith(FEVERS) and not is_return
    return {
        "pa": _blood_pressure(rng, code, age, is_return=is_return),
        "fc": str(round(rng.gauss(76, 8) + max(0, 12 - age) * 4)),
        "fr": str(round(rng.gauss(17, 1.5) + max(0, 8 - age) * 1.5)),
        "temp": _comma(rng.uniform(37.8, 39.1) if has_fever else rng.uniform(36.1, 36.9)),
        "sat": str(rng.randint(93, 96) if code.startswith(SHORT_OF_BREATH) else rng.randint(96, 99)),
        "peso": _comma(weight * rng.uniform(0.98, 1.02)),
        "dias": str(rng.randint(2, 6)),
        "dor": str(rng.randint(1, 3) if is_return else rng.randint(4, 8)),
        "glicemia": str(rng.randint(104, 138) if is_return else rng.randint(139, 248)),
        "hba1c": _comma(rng.uniform(6.2, 7.0) if is_return else rng.uniform(7.2, 9.8)),
    }


def _blood_pressure(rng: random.Random, code: str, age: int, *, is_return: bool) -> str:
    if age < 12:
        systolic, diastolic = rng.randint(90, 104), rng.randint(56, 66)
    elif code.startswith(HIGH_PRESSURE) and not is_return:
        systolic, diastolic = rng.randint(142, 170), rng.randint(88, 104)
    else:
        systolic, diastolic = rng.randint(108, 134), rng.randint(68, 84)
    return f"{systolic // 2 * 2}/{diastolic // 2 * 2} mmHg"


def _comma(value: float) -> str:
    """One decimal, as Portuguese writes it."""
    return f"{value:.1f}".replace(".", ",")
