"""What a list of records is narrowed to at a browser: days instead of moments, words beside filters."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import urlencode

from pydantic import Field, StringConstraints

from services.cursor import MAX_LENGTH
from services.record_list import RecordFilters
from web.api.record_schemas import Kind, Priority
from web.api.schemas import ApiModel
from web.runtime import runtime

WORDS_MAX = 200
Cursor = Annotated[str, StringConstraints(max_length=MAX_LENGTH)]


class RecordFind(ApiModel):
    """The filters, as a query string or a form. ``from`` and ``to`` are days in the clinic's zone, both included."""

    patient_id: uuid.UUID | None = None
    priority: Priority | None = None
    kind: Kind | None = None
    start: date | None = Field(default=None, alias="from")
    end: date | None = Field(default=None, alias="to")
    include_deleted: bool = False
    cursor: Cursor | None = None
    done: str | None = None  # names the toast of the act that led here

    @property
    def words(self) -> str | None:
        """What to search for; filters alone search for nothing."""
        return None

    @property
    def is_narrowed(self) -> bool:
        """Whether there is anything to clear: words, or a filter beside the patient."""
        return any((self.words, self.priority, self.kind, self.start, self.end, self.include_deleted))

    def filters(self) -> RecordFilters:
        return RecordFilters(
            patient_id=self.patient_id,
            priority=self.priority,
            kind=self.kind,
            start=None if self.start is None else _midnight(self.start),
            end=None if self.end is None else _midnight(self.end + timedelta(days=1)) - timedelta(microseconds=1),
            include_deleted=self.include_deleted,
            q=self.words,
        )

    def values(self) -> dict[str, str]:
        """Field → text of all that is narrowed to, but for the words: it may stand in an address."""
        given = {
            "patientId": self.patient_id,
            "priority": self.priority,
            "kind": self.kind,
            "from": self.start,
            "to": self.end,
            "includeDeleted": "true" if self.include_deleted else None,
        }
        return {name: str(value) for name, value in given.items() if value is not None}

    def address(self, cursor: str | None = None) -> str:
        """Path of this list, or of the page of it that ``cursor`` begins."""
        query = urlencode(self.values() | ({} if cursor is None else {"cursor": cursor}))
        return "/medical-records" + (f"?{query}" if query else "")


class RecordSearchForm(RecordFind):
    """The same with words, which are sent in a body and never stand in an address."""

    q: Annotated[str, StringConstraints(max_length=WORDS_MAX)] | None = None

    @property
    def words(self) -> str | None:
        return (self.q or "").strip() or None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=runtime().settings.timezone)
