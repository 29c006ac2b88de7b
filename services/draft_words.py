"""Which words of an edit are the writer's own: what a draft may still show when the record is masked again.

Worked out when the draft is saved by somebody who sees the record, and kept. Working it out for a reader from
outside would answer whether the masked text has the words they typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from services.text_diff import diff, is_comparable

TEXTS = frozenset({"title", "diagnosis", "treatment", "notes"})


def own_words(base: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Field → what ``values`` add to ``base`` (field → text): of a text the inserted passages, of a list of codes
    the new ones, of a choice the choice. What stood anywhere else in ``base`` was moved, not written."""
    known = "\n".join(base.values())
    own = {}
    for name, text in values.items():
        if name in TEXTS:
            passages = [passage.strip() for passage in _added(base.get(name, ""), text)]
            own[name] = " … ".join(passage for passage in passages if passage and passage not in known)
        elif name == "cid10Codes":
            codes = text.replace(",", " ").replace(";", " ").split()
            own[name] = ", ".join(code for code in codes if code not in known)
        else:
            own[name] = text
    return {name: text for name, text in own.items() if text}


def _added(before: str, after: str) -> list[str]:
    """Passages of ``after`` that ``before`` has not. What both begin and end with is not compared word by word:
    a draft is saved every few seconds, and most of a text stays as it was."""
    start = _whole_words(before, after, _common(before, after))
    before, after = before[start:], after[start:]
    end = _whole_words(before[::-1], after[::-1], _common(before[::-1], after[::-1]))
    before, after = before[: len(before) - end], after[: len(after) - end]
    if not is_comparable(before, after):
        return []  # nobody can say what of it is the writer's own: nothing is shown once the record is masked
    return [text for kind, text in diff(before, after) if kind == "added"]


def _common(first: str, second: str) -> int:
    """Length of what both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _whole_words(first: str, second: str, length: int) -> int:
    """``length``, or less where it would cut a word in two."""
    while 0 < length < max(len(first), len(second)) and first[length - 1].isalnum():
        length -= 1
    return length
