"""The screen that merges two edits: one row a field, and what was chosen of each that both sides changed.

Nothing is preselected: the writer takes their own edit, the other's, or other words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.text_diff import Part
from services.three_way import Outcome

MINE, THEIRS, OWN = "mine", "theirs", "own"


@dataclass(frozen=True, slots=True)
class MergeRow:
    """One field of the screen (templates/components/merge.html). Parts are word diffs against the base; None for
    fields that are no text."""

    name: str
    outcome: Outcome
    base: Any
    mine: Any
    theirs: Any
    choice: str  # of a conflict: mine, theirs, own, or empty while undecided
    own: str  # own words, as an input has them
    mine_parts: list[Part] | None = None
    theirs_parts: list[Part] | None = None

    @property
    def is_open(self) -> bool:
        return self.outcome is Outcome.CONFLICT


def choices_of(given: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Field → what was chosen for it, of the fields that need a choice."""
    return {name: given.get(f"choice.{name}", "") for name in names}


def are_decided(choices: Mapping[str, str]) -> bool:
    return all(choice in (MINE, THEIRS, OWN) for choice in choices.values())
