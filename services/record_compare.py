"""What differs between two versions of a record, as far as its reader sees both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.record_fields import CONTENT
from services.text_diff import Part, diff

TEXTS = frozenset({"title", "diagnosis", "treatment", "notes", "cid10Codes"})


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field at both versions. ``parts``: which words changed, of texts; empty for other fields."""

    name: str
    before: Any
    after: Any
    parts: tuple[Part, ...]
    is_masked: bool

    @property
    def is_changed(self) -> bool:
        return not self.is_masked and self.before != self.after


def compare_versions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """Every field of two representations from ``record_versions``, in the order of the record. A field that is
    masked at either version is masked: whether it changed says something of what it holds."""
    masked = {*before["privacy"]["maskedFields"], *after["privacy"]["maskedFields"]}
    return [_change(name, before[name], after[name], is_masked=name in masked) for name in (*CONTENT, "deletedAt")]


def _change(name: str, before: Any, after: Any, *, is_masked: bool) -> FieldChange:
    if is_masked:
        return FieldChange(name, None, None, (), is_masked=True)
    parts = tuple(diff(_text(before), _text(after))) if name in TEXTS else ()
    return FieldChange(name, before, after, parts, is_masked=False)


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else value or ""
