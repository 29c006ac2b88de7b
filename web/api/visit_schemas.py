"""Bodies, query strings and answers of the visits calls."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from services.visit_create import REASON_MAX
from web.api.record_schemas import Priority
from web.api.schemas import ApiModel, PageQuery, Privacy, Shown, Text

Status = Literal["WAITING", "IN_CARE", "DONE", "LEFT"]
OMITTED: Any = None


class VisitBody(ApiModel):
    """A check-in. ``doctorId`` when the patient waits for one doctor."""

    patient_id: uuid.UUID
    reason: Annotated[str, Text(REASON_MAX)]
    priority: Priority
    doctor_id: uuid.UUID | None = None


class CloseBody(ApiModel):
    """Left out: DONE for a patient in care, LEFT for one still waiting."""

    status: Literal["DONE", "LEFT"] = OMITTED


class VisitQuery(PageQuery):
    """Without ``status``: everybody who waits or is in care."""

    status: Status | None = None


class Visit(Shown):
    """A visit as its reader sees it. ``patientName`` is the social name where there is one."""

    id: uuid.UUID
    patient_id: uuid.UUID
    patient_name: str
    patient_birth_date: date | None
    patient_sex: str | None
    has_allergies: bool | None = Field(description="whether allergies are noted, not which; null where masked")
    in_care_team: bool = Field(description="whether you are on the patient's care team now")
    reason: str | None
    priority: Priority | None
    status: Status | None
    doctor_id: uuid.UUID | None
    doctor_name: str | None
    arrived_at: datetime
    called_at: datetime | None
    closed_at: datetime | None
    triaged_at: datetime | None = Field(description="when the triage note of this visit was written")
    record_id: uuid.UUID | None = Field(description="the consultation that opened when the patient was called")
    version: int
    privacy: Privacy


class CalledVisit(Visit):
    record_id: uuid.UUID = Field(description="the consultation that opened, titled with the visit's reason")


class VisitPage(Shown):
    data: list[Visit]
    next_cursor: str | None
