"""Bodies, query strings and answers of the patients calls."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from models.base import VERSION_MAX
from models.patient import ADDRESS_MAX, NAME_MAX
from services.allergy_create import REACTION_MAX, SUBSTANCE_MAX
from services.break_glass import Preset
from services.patient_write import LENGTHS
from web.api.schemas import ApiModel, Moment, PageQuery, Privacy, Shown, Text

Sex = Literal["FEMALE", "MALE", "OTHER", "UNKNOWN"]
Severity = Literal["MILD", "MODERATE", "SEVERE"]
Name = Annotated[str, Text(NAME_MAX)] | None
Number = Annotated[str, StringConstraints(max_length=30)] | None  # its digits are checked by the service
OMITTED: Any = None  # the default of fields that may be left out but not be null


class Identification(ApiModel):
    """What may be null: an unidentified person needs none of it."""

    social_name: Name = None
    mother_name: Name = None
    birth_date: date | None = None
    birth_date_estimated: bool = OMITTED
    cpf: Number = Field(default=None, description="529.982.247-25 or 52998224725")
    cns: Number = None
    passport: Number = None
    nationality: Annotated[str, Text(LENGTHS["nationality"])] | None = None
    phone: Annotated[str, Text(LENGTHS["phone"])] | None = None
    email: Annotated[str, Text(LENGTHS["email"])] | None = None
    address: Annotated[str, Text(ADDRESS_MAX)] | None = None
    responsible_id: uuid.UUID | None = Field(default=None, description="the responsible doctor")


class PatientBody(Identification):
    """A new patient. ``responsibleId`` is reception's to name: a doctor who registers is responsible."""

    full_name: Annotated[str, Text(NAME_MAX)]
    sex: Sex


class PatientChange(Identification):
    """What changes; a field left out stays, null empties it. ``version`` unless If-Match names it."""

    full_name: Annotated[str, Text(NAME_MAX)] = OMITTED
    sex: Sex = OMITTED
    deceased_at: Moment | None = None
    version: Annotated[int, Field(ge=1, le=VERSION_MAX)] = OMITTED
    reason: Annotated[str, Text(1000)] | None = None


class PatientQuery(PageQuery):
    include_deleted: bool = False


class PatientSearchBody(PageQuery):
    """Beginnings of name words, an exact number, or both."""

    q: Annotated[str, StringConstraints(max_length=200)] = OMITTED
    cpf: Annotated[str, StringConstraints(max_length=30)] = OMITTED
    cns: Annotated[str, StringConstraints(max_length=30)] = OMITTED
    include_deleted: bool = False


class Patient(Shown):
    """A patient as their reader sees them; a document shown in part is named in ``privacy`` too."""

    id: uuid.UUID
    full_name: str | None
    social_name: str | None
    mother_name: str | None
    birth_date: date | None
    birth_date_estimated: bool | None
    sex: Sex | None
    nationality: str | None
    phone: str | None
    email: str | None
    address: str | None
    deceased_at: datetime | None
    responsible_id: uuid.UUID | None
    cpf: str | None
    cns: str | None
    passport: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    privacy: Privacy


class PatientCreated(Patient):
    homonyms: list[uuid.UUID] = Field(
        description="patients who could be the same person: same name, or same mother and birth date"
    )


class PatientPage(Shown):
    data: list[Patient]
    next_cursor: str | None


class MemberBody(ApiModel):
    user_id: uuid.UUID


class RemovalBody(ApiModel):
    """Who takes over, when the one removed is the responsible doctor."""

    responsible_id: uuid.UUID | None = None


class Member(Shown):
    user_id: uuid.UUID
    name: str
    council: str | None
    origin: Literal["RESPONSIBLE", "ADDED", "VISIT"]
    added_at: datetime
    expires_at: datetime | None


class MemberList(Shown):
    data: list[Member]


class AllergyBody(ApiModel):
    substance: Annotated[str, Text(SUBSTANCE_MAX)]
    reaction: Annotated[str, Text(REACTION_MAX)] | None = None
    severity: Severity | None = None
    noted_at: Moment | None = None


class Allergy(Shown):
    id: uuid.UUID
    patient_id: uuid.UUID
    substance: str | None
    reaction: str | None
    severity: Severity | None
    noted_at: datetime | None
    created_at: datetime
    privacy: Privacy


class AllergyList(Shown):
    """``data`` is null, and not an empty list, for those from whom allergies are hidden."""

    data: list[Allergy] | None
    privacy: Privacy


class BreakGlassBody(ApiModel):
    """Why the glass is broken, in words that others can review; a preset stands before them."""

    reason: Annotated[str, Text(1000)]
    preset: Annotated[Preset, Field(strict=False)] | None = None


class Grant(Shown):
    id: uuid.UUID
    expires_at: datetime
