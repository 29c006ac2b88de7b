"""Names, documents and addresses that are known beforehand, found in free text however they are written there.

A name is found whole and in parts, in any case, with and without accents, with initials between its parts, and run
together (``mariasilva``). A part that is an everyday word as well (Dores, Dias, Leite) is a name beside another part,
after a title, or capitalised within a sentence; a first name of that kind (Rosa, Clara, Bento) wherever it is
capitalised. A document is found with any punctuation between its digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from services.folded_text import FoldedText, folded
from services.identifier_spans import Span, digits_of
from services.pseudonym_words import ADDRESS_WORDS, COMMON_WORDS, COMPOUND, GRAMMAR, PARTICLES, PATIENT, TITLES

WORD = re.compile(r"[^\W\d_]+")
RUN_TOGETHER_MAX = 7  # parts of a name that are looked for in every selection, as user names have them
STRONG_LETTERS = 3  # from which on a part of a name stands for the person by itself
SENTENCE_ENDS = frozenset(".!?:;\n•")
GAP = re.compile(r"[\s.,'’_\-]{0,4}")


@dataclass(slots=True)
class KnownNames:
    """``whose``: part of a name → keys of those who bear it, in the order in which they were told; ``firsts``: parts
    that somebody is called by alone."""

    whose: dict[str, list[str]] = field(default_factory=dict)
    firsts: set[str] = field(default_factory=set)
    run_together: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, name: str) -> None:
        words = WORD.findall(folded(name))
        for word in words:
            if word not in PARTICLES:
                bearers = self.whose.setdefault(word, [])
                if key not in bearers:
                    bearers.append(key)
        self.firsts.update(called_by(name))
        parts = [word for word in words if word not in PARTICLES][:RUN_TOGETHER_MAX]
        for together in (words, *(some for count in range(2, len(parts) + 1) for some in combinations(parts, count))):
            if len(together) > 1:
                self.run_together.setdefault("".join(together), key)

    def spans(self, text: FoldedText) -> Iterator[Span]:
        words = list(WORD.finditer(text.folded)) if self.whose else []
        at = 0
        while at < len(words):
            word = words[at].group()
            if word in self.run_together and word not in self.whose:
                yield Span(*text.span(*words[at].span()), "person", self.run_together[word])
            if word not in self.whose:
                at += 1
                continue
            last = self._run(text, words, at)
            run = words[at : last + 1]
            if self._is_somebody(text, words, at, run):
                yield Span(*text.span(run[0].start(), run[-1].end()), "person", self._bearer(run))
            at = last + 1

    def _run(self, text: FoldedText, words: list[re.Match[str]], first: int) -> int:
        """Index of the last word of the one person's name that begins at ``first``: particles and initials may stand
        within it."""
        last = at = first
        bearers = set(self.whose[words[first].group()])
        while at + 1 < len(words) and GAP.fullmatch(text.folded, words[at].end(), words[at + 1].start()):
            at += 1
            word = words[at].group()
            shared = bearers.intersection(self.whose.get(word, ()))
            if shared:
                bearers, last = shared, at
            elif word in self.whose or (word not in PARTICLES and len(word) > 1):
                break  # somebody else, or no name
        return last

    def _is_somebody(
        self, text: FoldedText, words: list[re.Match[str]], at: int, run: list[re.Match[str]]
    ) -> bool:
        parts = [word.group() for word in run if word.group() in self.whose]
        if GRAMMAR.issuperset(parts):
            return False
        if len(parts) > 1 or any(len(part) >= STRONG_LETTERS and part not in COMMON_WORDS for part in parts):
            return True
        if at and words[at - 1].group() in TITLES | PATIENT:
            return True
        start, end = text.span(run[0].start(), run[0].end())
        written, before = text.original[start:end], text.original[:start].rstrip(" \t")
        if written[:1].isupper() and self.firsts.intersection(parts):
            return True
        # Capitalised where no sentence begins, in a text that is not all in capitals.
        return written[:1].isupper() and not written.isupper() and bool(before) and before[-1] not in SENTENCE_ENDS

    def _bearer(self, run: list[re.Match[str]]) -> str:
        """Who bears most parts of it; of several, who was told first."""
        counts: dict[str, int] = {}
        for word in run:
            for key in self.whose.get(word.group(), ()):
                counts[key] = counts.get(key, 0) + 1
        return max(counts, key=lambda key: counts[key])


def called_by(name: str) -> list[str]:
    """The parts (folded) of a full name that its bearer is called by alone: the first one, and of a compound one the
    second too (Maria Clara)."""
    words = WORD.findall(folded(name))
    if words[:1] and words[0] in COMPOUND and len(words) > 2 and words[1] not in PARTICLES:
        return words[:2]
    return words[:1]


def document_pattern(value: str) -> re.Pattern[str] | None:
    """A known CPF, CNS, passport or phone with anything between its characters that people put there. None when it
    is too short to be told from other numbers."""
    characters = [each for each in folded(value) if each.isalnum()]
    if len(characters) < 5:
        return None
    return re.compile(r"(?<![^\W_])" + r"[\s.\-/()]{0,3}".join(map(re.escape, characters)) + r"(?![^\W_])")


def phone_patterns(value: str) -> Iterator[re.Pattern[str]]:
    """A known phone with and without the country's and the area's code."""
    digits = digits_of(folded(value))
    digits = digits[2:] if digits.startswith("55") and len(digits) > 11 else digits
    for tail in {digits, digits[2:] if len(digits) in (10, 11) else digits, f"55{digits}"}:
        pattern = document_pattern(tail)
        if pattern is not None:
            yield pattern


def address_patterns(value: str) -> Iterator[re.Pattern[str]]:
    """A known address: whole, and each of its parts that says where (not ``casa 2``, not ``SP``)."""
    plain = folded(value)
    for part in {plain, *re.split(r"[,;\n()]|\s-\s|\s/\s", plain)}:
        words = re.findall(r"[^\W_]+", part)
        telling = [
            word
            for word in words
            if len(word) >= STRONG_LETTERS and not word.isdigit() and word not in ADDRESS_WORDS | PARTICLES
        ]
        if not telling:
            continue
        if len(telling) == 1 and len(words) == 1 and (len(words[0]) < 4 or words[0] in COMMON_WORDS):
            continue
        yield _words_pattern(words)
        core = [word for word in words if word not in ADDRESS_WORDS and not word.isdigit()]
        while core and core[0] in PARTICLES:
            core = core[1:]
        if len([word for word in core if word not in PARTICLES]) > 1:
            yield _words_pattern(core)


def _words_pattern(words: list[str]) -> re.Pattern[str]:
    return re.compile(r"(?<![^\W_])" + r"[\W_]{1,4}".join(map(re.escape, words)) + r"(?![^\W_])")
