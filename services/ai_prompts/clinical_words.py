"""Words as charts in Brazil write them: which stand for others, which say nothing, which order something. Our own.

``data/clinical_words.json`` has them in folded letters (no accents, lower case): ``same`` are groups of words,
beginnings of words and expressions of which a source may have any for another; ``function`` words say nothing by
themselves; ``frame`` words need no source unless they are denied; ``conduct`` is what to do with a patient, each as
the forms of verbs that order it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

FILE = Path(__file__).parent.parent / "data" / "clinical_words.json"
WHOLE = 4  # letters: what has no more is a whole word, and the beginning of one otherwise


@dataclass(frozen=True, slots=True)
class ClinicalWords:
    """``groups``: what finds any of a group; ``conduct``: what it is called → its forms."""

    groups: tuple[re.Pattern[str], ...]
    function: frozenset[str]
    frame: frozenset[str]
    conduct: dict[str, re.Pattern[str]]


@cache
def clinical_words() -> ClinicalWords:
    """The lists, read once."""
    table = orjson.loads(FILE.read_bytes())
    return ClinicalWords(
        tuple(map(_any_of, table["same"])),
        frozenset(" ".join(table["function"]).split()),
        frozenset(" ".join(table["frame"]).split()),
        {name: re.compile(rf"\b(?:{forms})\b") for name, forms in table["conduct"].items()},
    )


def _any_of(ways: list[str]) -> re.Pattern[str]:
    """The longest first, so that what is found is all of an expression."""
    forms = [
        rf"{re.escape(way)}(?![a-z0-9])" if len(way) <= WHOLE else rf"{re.escape(way)}[a-z]*"
        for way in sorted(ways, key=len, reverse=True)
    ]
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(forms)})")
