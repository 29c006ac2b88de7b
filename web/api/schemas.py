"""What bodies of the JSON API are made of: strict models in camelCase, and text that means something."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import GroupedMetadata
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A body, or a query string: known fields only, named in camelCase, kept character by character.

    Python names are snake_case; ``model.sent()`` gives what the caller sent, by API name.
    """

    model_config = ConfigDict(
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=False,
        allow_inf_nan=False,
    )

    def sent(self, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """API name → value of the fields that were sent, but for ``without`` (Python names)."""
        fields = type(self).model_fields
        return {
            fields[name].alias or name: getattr(self, name)
            for name in fields
            if name in self.model_fields_set and name not in without
        }


class Shown(BaseModel):
    """An answer's shape, for the OpenAPI document: answers are built as JSON by services, not by models."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid")


def _meaningful(value: str) -> str:
    if value and not value.strip():
        raise ValueError("text that is not only spaces")
    return value


@dataclass(frozen=True, slots=True)
class Text(GroupedMetadata):
    """``Annotated[str, Text(200)]``: text that says something, kept character by character.

    ``Annotated[Annotated[str, Text(200, empty=True)] | None, …]`` may be empty, but not only spaces.
    """

    max_length: int
    empty: bool = False

    def __iter__(self) -> Iterator[Any]:
        yield StringConstraints(min_length=0 if self.empty else 1, max_length=self.max_length)
        yield AfterValidator(_meaningful)


Moment = AwareDatetime  # RFC 3339 with its zone
Reason = Annotated[str, Text(1000)]
PageLimit = Annotated[int, Field(ge=1, le=100)]


class PageQuery(ApiModel):
    """``?limit=&cursor=`` of every list."""

    limit: PageLimit = 20
    cursor: Annotated[str, StringConstraints(max_length=500)] | None = None


class ReasonBody(ApiModel):
    """``{reason}``: why something is inactivated, restored, opened."""

    reason: Reason


class FieldProblem(Shown):
    pointer: str = Field(description="RFC 6901 JSON pointer into the body")
    message: str


class Problem(Shown):
    """RFC 9457 problem details. They never echo the input."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None
    trace_id: str | None = Field(default=None, description="where the installation traces: the id of this request's")
    errors: list[FieldProblem] | None = None
    current_version: int | None = Field(default=None, description="409: the version to merge with")
    conflicting_fields: list[str] | None = Field(default=None, description="409: changed by somebody else as well")


class Privacy(Shown):
    masked_fields: list[str] = Field(description="fields that are null, or partial, because of who asks")
    reason: str | None


class Author(Shown):
    id: uuid.UUID
    name: str
    council: str | None
