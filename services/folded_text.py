"""Text to look for words and numbers in, without accents and case mattering, that knows where each letter came from.

``models.text.fold`` makes a text comparable and forgets its length; here whatever is found in the folded text can be
cut out of the original one, whole.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"))


class FoldedText:
    """``folded`` is ``original`` in lower case and plain letters, digits of any script as 0 to 9, dashes as ``-``,
    without accents and what is not seen (zero-width, bidirectional marks)."""

    __slots__ = ("_starts", "folded", "original")

    def __init__(self, original: str) -> None:
        self.original = original
        self._starts: list[int] | None = None
        if original.isascii():
            self.folded = original.lower()
            return
        starts: list[int] = []
        pieces: list[str] = []
        for index, letter in enumerate(original):
            piece = fold_letter(letter)
            pieces.append(piece)
            starts += [index] * len(piece)
        self.folded = "".join(pieces)
        self._starts = starts

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where ``folded[start:end]`` stands in the original, with the accents and unseen marks that follow it."""
        if self._starts is None:
            return start, end
        last = self._starts[end] if end < len(self._starts) else len(self.original)
        first = self._starts[start]
        return first, max(last, first + 1)


@lru_cache(maxsize=4096)
def fold_letter(letter: str) -> str:
    """One character as it is compared; empty for one that is not seen."""
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", letter).lower()).translate(DASHES)
    return "".join(each for each in plain if unicodedata.category(each) not in {"Mn", "Cf"})


def folded(text: str) -> str:
    return FoldedText(text).folded
