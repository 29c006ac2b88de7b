"""Pseudonyms of one request: identifiers leave a text before a model reads it, and come back in what it answers.

``[PESSOA-1]``, ``[CPF-1]``, ``[TEL-2]`` … stand for what people are known by; ``[DATA-3: 2023-11-20]`` for a date,
moved by one number of days that was drawn for this request, so that order and intervals stay (as in SANT, Hripcsak et
al., JAMIA 2016). Times of day, years alone and ages stay as they are. A second way of writing the same thing gets a
letter (``[PESSOA-1B]``), so each comes back as it was written, to the character. A pseudonym that is none of ours stays
as it is; what looked like one before hiding is hidden itself.

The table holds what it hides: keep it encrypted, beside the prompt and as long as that.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Container, Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta

import orjson

from services.folded_text import FoldedText, folded
from services.identifier_dates import dates_in
from services.identifier_names import KnownNames, address_patterns, document_pattern, phone_patterns
from services.identifier_people import people_spans
from services.identifier_spans import Span, digits_of, shaped_spans
from services.pseudonym_tokens import TOKEN, Token, token_of, written

KNOWABLE = ("person", "cpf", "cns", "passport", "phone", "email", "address")
SHIFT_DAYS = (30, 365)  # back, so that nothing lies in the future


class Pseudonyms:
    """One request's table: identifier → pseudonym and back. Not for two requests: pseudonyms tell nothing only as
    long as the same one means somebody else each time."""

    def __init__(self, *, shift_days: int | None = None) -> None:
        first, last = SHIFT_DAYS
        self._shift = -(first + secrets.randbelow(last - first + 1)) if shift_days is None else shift_days
        self._numbers: dict[tuple[str, str], int] = {}  # kind, key → number
        self._variants: dict[tuple[str, int], list[str]] = {}  # kind, number → ways of writing it
        self._dates: dict[str, str] = {}  # shifted date → the date itself, both ISO
        self._known: list[tuple[str, list[str]]] = []
        self._learned = 0  # how many of the known ones can be found by now
        self._names = KnownNames()
        self._patterns: list[tuple[str, str, re.Pattern[str]]] = []

    # -- what is known beforehand -------------------------------------------------------------------------

    def known(self, kind: str, *values: str | None) -> None:
        """One person's or thing's names in one call (full and social name): all get one number, and are found in free
        text. ``kind`` is one of KNOWABLE; what has a shape (dates, numbers, e-mails) is found without being told."""
        if kind not in KNOWABLE:
            raise ValueError(f"{kind} is none of {', '.join(KNOWABLE)}")
        told = [value.strip() for value in values if value and value.strip()]
        if not told:
            return
        self._known.append((kind, told))
        key = self._key(kind, told[0])
        self._written(kind, key, told[0])
        for value in told:
            self._numbers.setdefault((kind, self._key(kind, value)), self._numbers[kind, key])

    def _learn(self) -> None:
        """How to find what is known, from the first text on: a clinic has many names, and who puts back needs none."""
        for kind, told in self._known[self._learned :]:
            key = self._key(kind, told[0])
            for value in told:
                if kind == "person":
                    self._names.add(key, value)
                else:
                    self._patterns += [(kind, key, pattern) for pattern in _patterns_of(kind, value)]
        self._learned = len(self._known)

    @staticmethod
    def _key(kind: str, value: str) -> str:
        plain = folded(value)
        return digits_of(plain) if kind in ("cpf", "cns", "phone") else "".join(filter(str.isalnum, plain))

    # -- hiding -------------------------------------------------------------------------------------------

    def hide(self, text: str) -> str:
        """``text`` with a pseudonym for every identifier that is known or has an identifier's shape.
        ``put_back`` of it is ``text``. The same text gives the same answer every time."""
        spans = _joined(self._spans(text))
        if not spans:
            return text
        parts = []
        end = 0
        for span in spans:
            # What is left between two of them may look like an identifier only now that its neighbours are gone.
            parts += [self.hide(text[end : span.start]), self._pseudonym(text, span)]
            end = span.end
        return "".join([*parts, self.hide(text[end:])])

    def _spans(self, text: str) -> Iterator[Span]:
        self._learn()
        view = FoldedText(text)
        yield from (Span(*match.span(), "literal", match.group()) for match in TOKEN.finditer(text))
        known = list(self._names.spans(view))
        yield from known
        for kind, key, pattern in self._patterns:
            for match in pattern.finditer(view.folded):
                yield Span(*view.span(*match.span()), kind, key)
        yield from shaped_spans(view)
        for span in people_spans(view):
            # Whoever is known stays the same person though more of the text looks like a name.
            whose = next((each.key for each in known if each.start < span.end and span.start < each.end), span.key)
            yield Span(span.start, span.end, "person", whose)

    def _pseudonym(self, text: str, span: Span) -> str:
        number, variant = self._written(span.kind, span.key, text[span.start : span.end])
        return written((span.kind, number, variant), self._shifted(span.key) if span.kind == "date" else None)

    def _written(self, kind: str, key: str, surface: str) -> tuple[int, int]:
        """Number and variant of this way of writing it, made when it is new."""
        number = self._numbers.get((kind, key))
        if number is None:
            number = self._numbers[kind, key] = 1 + sum(1 for each, _ in self._variants if each == kind)
        ways = self._variants.setdefault((kind, number), [])
        if surface not in ways:
            ways.append(surface)
        return number, ways.index(surface)

    def _shifted(self, iso: str) -> str | None:
        """The date as the model may see it; None where it can't be moved."""
        with suppress(ValueError, OverflowError):
            day = date.fromisoformat(iso if len(iso) > 7 else f"{iso}-15")
            moved = (day + timedelta(days=self._shift)).isoformat()[: len(iso)]
            self._dates[moved] = iso
            return moved
        return None

    def moved(self, moment: datetime) -> datetime:
        """``moment`` on the day that stands for its own, for sorting by."""
        with suppress(OverflowError):
            return moment + timedelta(days=self._shift)
        return moment

    # -- putting back -------------------------------------------------------------------------------------

    def put_back(self, text: str, told: Container[Token] | None = None) -> str:
        """``text`` with what its pseudonyms stand for. A date that the model wrote without its mark comes back as
        DD/MM/YYYY when it is one that was moved. Whatever is no pseudonym of this table stays, and what is none of
        ``told`` too: the table knows more than whoever reads the text may see."""
        parts = []
        end = 0
        for match in TOKEN.finditer(text):
            parts += [self._dates_back(text[end : match.start()]), self._meant(match, told)]
            end = match.end()
        return "".join([*parts, self._dates_back(text[end:])])

    def _meant(self, match: re.Match[str], told: Container[Token] | None) -> str:
        kind, number, variant = token = token_of(match)
        ways = self._variants.get((kind, number), [])
        return ways[variant] if variant < len(ways) and (told is None or token in told) else match.group()

    def _dates_back(self, text: str) -> str:
        if not self._dates or not text:
            return text
        view = FoldedText(text)
        spans = [
            Span(*view.span(found.start, found.end), "date", found.iso)
            for found in dates_in(view.folded)
            if found.iso in self._dates
        ]
        end = 0
        parts = []
        for span in _joined(spans):
            original = "/".join(reversed(self._dates[span.key].split("-")))
            parts += [text[end : span.start], original]
            end = span.end
        return "".join([*parts, text[end:]])

    # -- keeping ------------------------------------------------------------------------------------------

    def packed(self) -> bytes:
        """All of the table, in the clear: to be encrypted."""
        return orjson.dumps(
            {
                "shift": self._shift,
                "known": self._known,
                "numbers": [[kind, key, number] for (kind, key), number in self._numbers.items()],
                "written": [[kind, number, ways] for (kind, number), ways in self._variants.items()],
                "dates": self._dates,
            }
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Pseudonyms:
        """The table that ``packed`` is of; it hides and puts back as that one did."""
        table = orjson.loads(packed)
        made = cls(shift_days=table["shift"])
        for kind, values in table["known"]:
            made.known(kind, *values)
        made._numbers = {(kind, key): number for kind, key, number in table["numbers"]}
        made._variants = {(kind, number): ways for kind, number, ways in table["written"]}
        made._dates = table["dates"]
        return made


def _patterns_of(kind: str, value: str) -> Iterator[re.Pattern[str]]:
    if kind == "address":
        yield from address_patterns(value)
        return
    if kind == "phone":
        yield from phone_patterns(value)
        return
    if kind == "email":
        yield re.compile(re.escape(folded(value)))
        return
    pattern = document_pattern(value)
    if pattern is not None:
        yield pattern


def _joined(spans: Iterator[Span] | list[Span]) -> list[Span]:
    """Spans in order, those that overlap as one: nothing that any finder found is left over. The longest says what
    it is."""
    joined: list[Span] = []
    longest = 0
    for span in sorted(spans, key=lambda each: (each.start, -each.end)):
        length = span.end - span.start
        if not joined or span.start >= joined[-1].end:
            joined.append(span)
            longest = length
            continue
        last = joined[-1]
        kind, key = (span.kind, span.key) if length > longest else (last.kind, last.key)
        longest = max(longest, length)
        joined[-1] = Span(last.start, max(last.end, span.end), kind, key)
    return joined
