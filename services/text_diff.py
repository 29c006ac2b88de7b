"""Which words changed between two texts, for diffs and for the screen that merges two edits."""

from __future__ import annotations

import difflib
import re
from typing import Literal

Part = tuple[Literal["same", "added", "removed"], str]
WORDS = re.compile(r"\s+|\w+|[^\w\s]")
# Comparing takes time with the product of both lengths. Beyond this many pairs of words (a tenth of a second) texts
# are compared line by line, and beyond as many pairs of lines not at all: one is said to have replaced the other.
PAIRS_MAX = 250_000


def diff(before: str, after: str) -> list[Part]:
    """``before`` and ``after`` as parts in reading order. Joining the parts that are not "added" gives
    ``before`` again, those that are not "removed" give ``after``."""
    if before == after:
        return [("same", before)] if before else []
    units = _units(before, after)
    if units is None:
        return _changed(before, after)
    old, new = units
    parts: list[Part] = []
    removed, added = "", ""
    opcodes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for number, (kind, i1, i2, j1, j2) in enumerate(opcodes):
        before_part, after_part = "".join(old[i1:i2]), "".join(new[j1:j2])
        # A space that two changed words have in common is no sameness that a reader sees: it is one change.
        is_between = kind == "equal" and before_part.isspace() and 0 < number < len(opcodes) - 1
        if kind != "equal" or is_between:
            removed, added = removed + before_part, added + after_part
            continue
        parts += _changed(removed, added)
        removed, added = "", ""
        parts.append(("same", before_part))
    return parts + _changed(removed, added)


def is_comparable(before: str, after: str) -> bool:
    """Whether ``diff`` tells what is the same in both; False for texts so long and so different that it does not."""
    return _units(before, after) is not None


def _units(before: str, after: str) -> tuple[list[str], list[str]] | None:
    """Both as words, or as lines where words are too many; None where lines are as well."""
    for old, new in (
        (WORDS.findall(before), WORDS.findall(after)),
        (before.splitlines(keepends=True), after.splitlines(keepends=True)),
    ):
        if len(old) * len(new) <= PAIRS_MAX:
            return old, new
    return None


def _changed(removed: str, added: str) -> list[Part]:
    changed: list[Part] = [("removed", removed), ("added", added)]
    return [part for part in changed if part[1]]
