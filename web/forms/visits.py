"""Forms of the waiting room that are no call of the API."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from services.visit_create import REASON_MAX
from services.visit_triage import NOTES_MAX
from services.vital_signs import POSSIBLE, VitalSigns
from web.api.record_schemas import Priority
from web.api.schemas import ApiModel, Text

SEARCH_MAX = 200


class Search(ApiModel):
    """A name, or a CPF or CNS: one box, for whoever stands at the desk."""

    q: Annotated[str, Text(SEARCH_MAX)]


class CheckIn(ApiModel):
    reason: Annotated[str, Text(REASON_MAX)]
    priority: Priority
    doctor_id: uuid.UUID | None = None


class DeskCheckIn(CheckIn):
    """Reception may also put a nurse on the patient's care team, without which nobody could triage them."""

    nurse_id: uuid.UUID | None = None


def _within(name: str) -> Any:
    lowest, highest = POSSIBLE[name]
    return Field(ge=lowest, le=highest)


def _with_point(given: Any) -> Any:
    """``36,5`` as Brazil writes it, as the number it is."""
    return given.replace(",", ".") if isinstance(given, str) else given


Comma = BeforeValidator(_with_point)


class Measured(ApiModel):
    """Vital signs in the units of ``services/vital_signs.py``, and what was seen."""

    systolic: Annotated[int, _within("systolic")] | None = None
    diastolic: Annotated[int, _within("diastolic")] | None = None
    heart_rate: Annotated[int, _within("heart_rate")] | None = None
    respiratory_rate: Annotated[int, _within("respiratory_rate")] | None = None
    temperature: Annotated[float, _within("temperature"), Comma] | None = None
    oxygen_saturation: Annotated[int, _within("oxygen_saturation")] | None = None
    glucose: Annotated[int, _within("glucose")] | None = None
    pain: Annotated[int, _within("pain")] | None = None
    weight: Annotated[float, _within("weight"), Comma] | None = None
    notes: Annotated[str, Text(NOTES_MAX)] | None = None

    def signs(self) -> VitalSigns:
        return VitalSigns(**{name: getattr(self, name) for name in POSSIBLE})


class TriageForm(Measured):
    """At least one vital sign, or notes."""

    priority: Priority
