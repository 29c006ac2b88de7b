"""Merge two edits of one thing field by field, against the version that both began from: records, patients.

A three-way merge as version control does it (Khanna, Kunal, Pierce: A Formal Investigation of Diff3, 2007), with a
whole field as the unit: two sentences about one dose that merge word by word may say what nobody meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ABSENT: Any = object()  # of a base that is not known: it equals no value


class Outcome(StrEnum):
    UNCHANGED = "unchanged"
    MINE = "mine"  # changed by the writer alone
    THEIRS = "theirs"  # changed by somebody else alone
    AGREED = "agreed"  # both changed it to the same
    CONFLICT = "conflict"  # both changed it, differently: a person decides


@dataclass(frozen=True, slots=True)
class MergedField:
    """One field's value in the base (ABSENT: nobody knows it), in the writer's edit and in the version saved
    meanwhile."""

    name: str
    base: Any
    mine: Any
    theirs: Any

    @property
    def outcome(self) -> Outcome:
        if self.mine == self.theirs:
            return Outcome.UNCHANGED if self.mine == self.base else Outcome.AGREED
        if self.mine == self.base:
            return Outcome.THEIRS
        return Outcome.MINE if self.theirs == self.base else Outcome.CONFLICT

    @property
    def merged(self) -> Any:
        """What stays where nobody needs to decide. Raises ValueError for a conflict: nothing is preferred."""
        if self.outcome is Outcome.CONFLICT:
            raise ValueError(f"{self.name} needs a decision")
        return self.mine if self.outcome is Outcome.MINE else self.theirs


def merge(
    base: Mapping[str, Any] | None, mine: Mapping[str, Any], theirs: Mapping[str, Any], names: Iterable[str]
) -> list[MergedField]:
    """The fields of ``names`` that anybody changed, in that order. Values are plain JSON types.

    A field that a side leaves out, that side did not change. Nothing is guessed: without a base (None), every
    difference is a conflict.
    """
    fields = []
    for name in names:
        before = ABSENT if base is None else base.get(name)
        their = theirs.get(name, before)
        field = MergedField(name, before, mine.get(name, their if before is ABSENT else before), their)
        if field.outcome is not Outcome.UNCHANGED:
            fields.append(field)
    return fields
