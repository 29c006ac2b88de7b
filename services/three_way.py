"""Merge two changes of the same fields: what one side alone changed is taken, what both changed differently is not.

Pure and over plain mappings, so that it serves anything kept as fields (patients' identification, records).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT: Any = object()  # of a base that is not known: it equals no value


@dataclass(frozen=True, slots=True)
class Merge:
    """``values``: field → merged value, of every field without a conflict; ``conflicts``: fields for a person."""

    values: dict[str, Any]
    conflicts: tuple[str, ...]


def merge(
    base: Mapping[str, Any] | None, yours: Mapping[str, Any], theirs: Mapping[str, Any], fields: Iterable[str]
) -> Merge:
    """Merge ``yours`` and ``theirs``, which both began as ``base`` (None: nobody knows what it was).

    A field that a side leaves out, that side did not change. Nothing is guessed: without a base, every
    difference is a conflict.
    """
    values: dict[str, Any] = {}
    conflicts = []
    for field in fields:
        before = ABSENT if base is None else base.get(field)
        their = theirs.get(field, before)
        your = yours.get(field, their if before is ABSENT else before)
        merged = their if your in (their, before) else your
        if merged not in (their, before) and their != before:
            conflicts.append(field)
        elif merged is not ABSENT:
            values[field] = merged
    return Merge(values, tuple(conflicts))
