"""Vital signs as they are measured at triage, and as they stand in its note."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from services.errors import FieldError


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """What was measured; None: it was not. Named as in the form, in the units of ``UNITS``."""

    systolic: int | None = None
    diastolic: int | None = None
    heart_rate: int | None = None
    respiratory_rate: int | None = None
    temperature: float | None = None
    oxygen_saturation: int | None = None
    glucose: int | None = None
    pain: int | None = None
    weight: float | None = None

    def problems(self) -> Iterator[FieldError]:
        """Blood pressure is two numbers, the higher one first."""
        if (self.systolic is None) != (self.diastolic is None):
            missing = "systolic" if self.systolic is None else "diastolic"
            yield FieldError(f"/{missing}", "blood pressure is two numbers: write both")
        elif self.systolic is not None and self.diastolic is not None and self.systolic <= self.diastolic:
            yield FieldError("/diastolic", "lower than the first number")

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def texts(self) -> dict[str, str]:
        """Name → value as it is written, of what was measured."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _number(value) for name, value in found.items() if value is not None}

    def written(self) -> str:
        """One line of a note, in the language and abbreviations of Brazilian charts (COFEN): ``PA 120/80 mmHg,
        FC 72 bpm``. Empty when nothing was measured."""
        parts = []
        if self.systolic is not None:
            parts.append(f"PA {self.systolic}/{self.diastolic} mmHg")
        parts += [
            WORDS[name].format(_number(value))
            for name in WORDS
            if (value := getattr(self, name)) is not None
        ]
        return ", ".join(parts)


# Field → how it is written.
WORDS = {
    "heart_rate": "FC {} bpm",
    "respiratory_rate": "FR {} irpm",
    "temperature": "temperatura {} °C",
    "oxygen_saturation": "SpO2 {}%",
    "glucose": "glicemia {} mg/dL",
    "pain": "dor {}/10",
    "weight": "peso {} kg",
}

# Field → lowest and highest that a living patient can have: outside it, a finger slipped. Not what is healthy.
POSSIBLE = {
    "systolic": (30, 300),
    "diastolic": (10, 200),
    "heart_rate": (10, 350),
    "respiratory_rate": (2, 120),
    "temperature": (20, 45),
    "oxygen_saturation": (20, 100),
    "glucose": (5, 1500),
    "pain": (0, 10),
    "weight": (0.2, 500),
}


def _number(value: float) -> str:
    return f"{value:g}".replace(".", ",")
