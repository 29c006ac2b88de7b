"""Dates as people write them in Brazilian charts (and as machines do), found in folded text.

``3 de maio de 2024``, ``3/mai/24``, ``03/05/2024``, ``3.5.24``, ``2024-05-03``, ``20240503``, ``mai/2024``,
``três de maio de dois mil e vinte e quatro``, ``May 3, 2024``. A year alone is no date here, nor is a fraction such as
``12/8`` (blood pressure) or ``12/12 h`` (every twelve hours).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from services.pseudonym_words import FULL_MONTHS, MONTHS, NUMBER_WORDS

CENTURY_TURNS = 50  # a year of two digits below it lies in the 21st century


@dataclass(frozen=True, slots=True)
class FoundDate:
    """``folded[start:end]`` is a date. ``day`` is None where it names a month only; ``is_certain`` is False for what
    has the shape of a date and is none (31/02/1980), or lacks its year: ``year`` is 0 then."""

    start: int
    end: int
    year: int
    month: int
    day: int | None

    @property
    def iso(self) -> str:
        """``2024-05-03``, ``2024-05``, or empty for what is no whole date."""
        if not self.year:
            return ""
        return f"{self.year:04}-{self.month:02}" + ("" if self.day is None else f"-{self.day:02}")

    def as_date(self) -> date | None:
        """The day; a month's fifteenth. None for what is no whole date."""
        return date(self.year, self.month, self.day or 15) if self.year else None


_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_FULL = "|".join(FULL_MONTHS)
_NUMBER = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_DAY = rf"(?:\d{{1,2}}(?:[oa]\b)?|(?:{_NUMBER})(?:\s+e\s+(?:{_NUMBER}))?)"
_YEAR_WORDS = rf"(?:dois\s+mil|mil\s+novecentos)(?:\s+e\s+(?:{_NUMBER}))*"
_UNIT = r"(?!\s?(?:mg|mcg|ml|ui|g|cp|gotas|mmhg|%|comp)\b)"
_BIRTH = (
    r"\b(?:nascid[oa]s?|nasc|nascimento|nasceu|d\.?n|aniversario)\b[\s:.\-]{0,4}"
    r"(?:(?:em|a|no dia|dia|de|e)\b[\s:]{0,3})?"
)
_BEFORE = r"(?<![a-z0-9])"

PATTERNS = (
    re.compile(r"(?<!\d)(?P<year>\d{4})\s?[-/.]\s?(?P<month>\d{1,2})\s?[-/.]\s?(?P<day>\d{1,2})(?!\d)"),
    re.compile(rf"(?<![\d,])(?P<day>\d{{1,2}})\s?[-/.]\s?(?P<month>\d{{1,2}})\s?[-/.]\s?(?P<year>\d{{4}}|\d{{2}})(?!\d){_UNIT}"),
    re.compile(r"(?<!\d)(?P<year>(?:19|20)\d{2})(?P<month>0[1-9]|1[0-2])(?P<day>\d{2})(?=(?:\d{4}|\d{6})?(?!\d))"),
    re.compile(r"(?<!\d)(?P<day>\d{2})(?P<month>0[1-9]|1[0-2])(?P<year>(?:19|20)\d{2})(?!\d)"),
    re.compile(
        rf"{_BEFORE}(?P<day>{_DAY})\s*(?:\s+de\s+|[-/.]\s*|\s)\s*(?P<month>{_MONTH})\b\.?"
        rf"(?:,?\s*(?:\bde\s+|do\s+ano\s+de\s+|[-/.]\s*|\s)\s*(?P<year>\d{{4}}|{_YEAR_WORDS})(?![a-z0-9])"
        rf"|\s*(?:\bde\s+|[-/]\s*)(?P<short>\d{{2}})(?![a-z0-9]))"
    ),
    re.compile(
        rf"{_BEFORE}(?P<month>{_MONTH})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,\s*|\s+)(?P<year>\d{{4}})(?!\d)"
    ),
    re.compile(
        rf"{_BEFORE}(?P<month>{_MONTH})\.?(?:\s*[-/]\s*|\s+de\s+|\s+)(?P<year>\d{{4}}|{_YEAR_WORDS})(?![a-z0-9])"
    ),
    re.compile(rf"{_BEFORE}(?P<month>{_MONTH})\.?\s*[-/]\s*(?P<year>\d{{2}})(?![a-z0-9])"),
    re.compile(r"(?<![\d/.,-])(?P<month>0?[1-9]|1[0-2])\s?/\s?(?P<year>(?:19|20)\d{2})(?![\d/])"),
    re.compile(r"(?<![\d/.,-])(?P<year>(?:19|20)\d{2})-(?P<month>0[1-9]|1[0-2])(?![\d-])"),
    # Without a year: a day with a spelled month, or two digits by two after "dia" or "em".
    re.compile(rf"{_BEFORE}(?P<day>{_DAY})\s*(?:\s+de\s+|[-/]\s*|\s)\s*(?P<month>{_FULL})\b"),
    re.compile(rf"{_BEFORE}(?P<day>{_DAY})\s*(?:\s+de\s+|[-/])\s*(?P<month>{_MONTH})\b"),
    re.compile(
        r"\b(?:dias?|em|ate|desde|data|e)\s+(?P<date>(?P<day>[0-3]\d)[/-](?P<month>0[1-9]|1[0-2]))"
        r"(?![\d/-]|\s?(?:h|hs|horas?|mmhg|min|minutos?|dias?|semanas?|meses|anos|x|vezes|mg|ml|gotas)\b)"
    ),
    # Of a birth, however short: "nascida em 14-03", "DN 140357".
    re.compile(
        rf"{_BIRTH}(?P<date>(?P<day>[0-3]?\d)[-/. ](?P<month>0?[1-9]|1[0-2])"
        r"(?:[-/. ](?P<year>\d{4}|\d{2}))?)(?![\d/])"
    ),
    re.compile(rf"{_BIRTH}(?P<date>(?P<day>[0-3]\d)(?P<month>0[1-9]|1[0-2])(?P<year>\d{{4}}|\d{{2}}))(?!\d)"),
)


def dates_in(folded: str) -> Iterator[FoundDate]:
    """Every date in ``folded`` (``FoldedText.folded``), possibly one within another."""
    for pattern in PATTERNS:
        for match in pattern.finditer(folded):
            found = _read(match)
            if found is not None:
                yield found


def _read(match: re.Match[str]) -> FoundDate | None:
    groups = match.groupdict()
    start, end = match.span("date") if "date" in groups else match.span()
    day = None if groups.get("day") is None else _number(groups["day"])
    month = MONTHS.get(groups["month"]) or int(groups["month"])
    written = groups.get("year") or groups.get("short")
    if written is None:
        is_day = day is not None and 1 <= day <= 31 and month <= 12
        return FoundDate(start, end, 0, 0, None) if is_day else None
    year = _year(written)
    if day is None:
        return FoundDate(start, end, year, month, None) if year else None
    for a_month, a_day in ((month, day), (day, month)):  # 05/31/2024 is how some machines write
        with suppress(ValueError):
            date(year, a_month, a_day)
            return FoundDate(start, end, year, a_month, a_day)
    # The thirty-first of February of a full year was meant as a date all the same.
    return FoundDate(start, end, 0, 0, None) if 1850 <= year <= 2150 and len(written) > 2 else None


def _number(text: str) -> int:
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else sum(NUMBER_WORDS.get(word, 0) for word in text.split())


def _year(text: str) -> int:
    if not text.isdigit():
        base = 2000 if text.startswith("dois") else 1900
        return base + sum(NUMBER_WORDS.get(word, 0) for word in text.split()[2:])
    year = int(text)
    if len(text) > 2:
        return year
    return year + (2000 if year < CENTURY_TURNS else 1900)
