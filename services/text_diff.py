"""Which words changed between two texts, for diffs and for the screen that merges two edits."""

from __future__ import annotations

import difflib
import re
from typing import Literal

Part = tuple[Literal["same", "added", "removed"], str]
WORDS = re.compile(r"\s+|\w+|[^\w\s]")
# Beyond this a word-by-word comparison takes seconds: such texts are compared line by line.
WORDS_MAX = 4_000


def diff(before: str, after: str) -> list[Part]:
    """``before`` and ``after`` as parts in reading order. Joining the parts that are not "added" gives
    ``before`` again, those that are not "removed" give ``after``."""
    if before == after:
        return [("same", before)] if before else []
    old, new = WORDS.findall(before), WORDS.findall(after)
    if max(len(old), len(new)) > WORDS_MAX:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    parts: list[Part] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            parts.append(("same", "".join(old[i1:i2])))
            continue
        if i2 > i1:
            parts.append(("removed", "".join(old[i1:i2])))
        if j2 > j1:
            parts.append(("added", "".join(new[j1:j2])))
    return parts
