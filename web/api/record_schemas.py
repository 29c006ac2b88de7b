"""Bodies, query strings and answers of the medical-records calls."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from models.base import VERSION_MAX
from models.record import CID10_MAX, CLINICAL_TEXT_MAX, TITLE_MAX
from web.api.schemas import ApiModel, Author, Moment, PageLimit, PageQuery, Privacy, Reason, Shown, Text

Priority = Literal["CRITICAL", "HIGH", "NORMAL", "LOW"]
Kind = Literal["CONSULTATION", "RETURN", "EXAM", "PROCEDURE", "TRIAGE", "EMERGENCY", "ADDENDUM", "OTHER"]
Title = Annotated[str, Text(TITLE_MAX)]
ClinicalText = Annotated[str, Text(CLINICAL_TEXT_MAX, empty=True)] | None
Codes = Annotated[list[Annotated[str, StringConstraints(max_length=8)]], Field(max_length=CID10_MAX)]
Words = Annotated[str, Text(200)]
OMITTED: Any = None  # the default of fields that may be left out but not be null


class RecordBody(ApiModel):
    """A new record. ``amendsId`` makes it an addendum."""

    patient_id: uuid.UUID
    title: Title
    kind: Kind = OMITTED
    diagnosis: ClinicalText = None
    treatment: ClinicalText = None
    notes: ClinicalText = None
    cid10_codes: Codes = Field(default=OMITTED, alias="cid10Codes")
    priority: Priority = OMITTED
    restricted: bool = OMITTED
    occurred_at: Moment = OMITTED
    visit_id: uuid.UUID | None = None
    amends_id: uuid.UUID | None = None


class RecordChange(ApiModel):
    """What changes; a field left out stays. ``version`` unless If-Match names it; ``reason`` once closed."""

    title: Title = OMITTED
    kind: Kind = OMITTED
    diagnosis: ClinicalText = None
    treatment: ClinicalText = None
    notes: ClinicalText = None
    cid10_codes: Codes = Field(default=OMITTED, alias="cid10Codes")
    priority: Priority = OMITTED
    restricted: bool = OMITTED
    occurred_at: Moment = OMITTED
    version: Annotated[int, Field(ge=1, le=VERSION_MAX)] = OMITTED
    reason: Reason | None = None


class RecordQuery(PageQuery):
    """Filters of the list. ``from`` and ``to`` bound occurredAt, both included."""

    patient_id: uuid.UUID | None = None
    priority: Priority | None = None
    kind: Kind | None = None
    start: Moment | None = Field(default=None, alias="from")
    end: Moment | None = Field(default=None, alias="to")
    include_deleted: bool = False


class RecordSearch(ApiModel):
    """Words to search for, in the body: what somebody looks for never stands in a URL."""

    q: Words
    patient_id: uuid.UUID | None = None
    priority: Priority | None = None
    start: Moment | None = Field(default=None, alias="from")
    end: Moment | None = Field(default=None, alias="to")
    limit: PageLimit = 20
    cursor: Annotated[str, StringConstraints(max_length=500)] | None = None


class IncludeDeleted(ApiModel):
    include_deleted: bool = False


class Record(Shown):
    """A record as its reader sees it; masked fields are null and named in ``privacy``."""

    id: uuid.UUID
    patient_id: uuid.UUID
    visit_id: uuid.UUID | None
    kind: Kind | None
    title: str | None
    diagnosis: str | None
    treatment: str | None
    notes: str | None
    cid10_codes: list[str] | None = Field(alias="cid10Codes")
    priority: Priority | None
    restricted: bool | None
    occurred_at: datetime | None
    status: Literal["OPEN", "CLOSED"]
    version: int
    amends_id: uuid.UUID | None
    author: Author | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    privacy: Privacy


class RecordPage(Shown):
    data: list[Record]
    next_cursor: str | None


class RecordVersionShown(Shown):
    """A record's content at one version."""

    record_id: uuid.UUID
    version: int
    changed_at: datetime
    changed_by: Author | None
    reason: str | None
    kind: Kind | None
    title: str | None
    diagnosis: str | None
    treatment: str | None
    notes: str | None
    cid10_codes: list[str] | None = Field(alias="cid10Codes")
    priority: Priority | None
    restricted: bool | None
    occurred_at: datetime | None
    deleted_at: datetime | None
    privacy: Privacy


class RecordVersionList(Shown):
    data: list[RecordVersionShown]
