"""Drugs, everyday abbreviations of diseases and words of conduct, as charts in Brazil write them; our own lists.

``data/clinical_words.json`` has them in folded letters (no accents, lower case): ``drugs`` and ``abbreviations`` are
words that no answer may have without a source; ``same`` says in what other words a source may have one of them;
``conduct`` what to do with a patient, each as the forms of verbs that order it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

FILE = Path(__file__).parent.parent / "data" / "clinical_words.json"


@dataclass(frozen=True, slots=True)
class ClinicalWords:
    """``named``: whole words that name a drug or a disease; ``same``: a word → beginnings of other words for it;
    ``conduct``: what it is called → its forms."""

    named: frozenset[str]
    same: dict[str, tuple[str, ...]]
    conduct: dict[str, re.Pattern[str]]

    def others(self, text: str, start: int, word: str) -> set[str]:
        """Beginnings of what else may stand for ``word``, found at ``start`` of ``text``: an abbreviation's words, and
        the abbreviation of words that follow there."""
        short = {each for each, ways in self.same.items() if any(text.startswith(way, start) for way in ways)}
        return {*self.same.get(word, ()), *short, *(way for each in short for way in self.same[each])}


@cache
def clinical_words() -> ClinicalWords:
    """The lists, read once."""
    table = orjson.loads(FILE.read_bytes())
    return ClinicalWords(
        frozenset(table["drugs"]) | frozenset(table["abbreviations"]),
        {word: tuple(ways) for word, ways in table["same"].items()},
        {name: re.compile(rf"\b(?:{forms})\b") for name, forms in table["conduct"].items()},
    )
