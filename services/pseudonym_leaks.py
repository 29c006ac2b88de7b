"""Whether a text that leaves still names somebody: looked for in another way than hiding works.

Hiding looks for shapes; this takes each identifier and looks for every way of writing it, so that what one of them
overlooks the other sees. For tests and for the evaluation of models: it reads, and changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date

from services.pseudonym_words import COMMON_WORDS, COMPOUND, GRAMMAR, MONTHS, PARTICLES

ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
# A moved date in its mark: on some day another visit took place, and it says nothing of that one.
MOVED = re.compile(r"\[DATA-\d+[A-Z]{0,2}: \d{4}-\d{2}(?:-\d{2})?\]")
BESIDE = "(?:(?<=paciente )|(?<=pcte )|(?<=sra ))"
DIGITS_MIN, LETTERS_MIN = 7, 8  # fewer in a row are found by chance


def leaks(text: str, identifiers: Iterable[str]) -> list[str]:
    """Those of ``identifiers`` (names, numbers, e-mails, addresses, ISO dates) that ``text`` betrays, whole or by a
    part of a name that is no everyday word, or by a first name that is one where it is capitalised or stands behind
    "paciente"; whatever their accents, case, punctuation and spacing, and whether the text is plain or JSON. A year
    alone betrays no date."""
    seen = _seen(MOVED.sub(" ", _unescaped(text)))
    plain = _plain(seen)
    words = re.findall(r"[^\W\d_]+", plain)
    run = "".join(re.findall(r"[^\W_]", plain))
    numbers = re.sub(r"(?<=\d)[\s.\-/()]{1,3}(?=\d)", "", plain)
    told = [each for each in identifiers if each.strip()]
    return [each for each in told if _betrays(each, plain, words, run, numbers) or _calls(each, seen)]


def _calls(identifier: str, seen: str) -> bool:
    """Whether ``seen``, in its own case, calls somebody by a first name that is an everyday word too (Rosa)."""
    if re.search(r"[\d,@]", identifier):
        return False
    parts = re.findall(r"[^\W\d_]+", _plain(identifier))
    called = parts[:2] if parts[:1] and parts[0] in COMPOUND and len(parts) > 2 else parts[:1]
    return any(
        re.search(rf"(?<![^\W_])(?:{name.capitalize()}|{name.upper()}|(?i:{BESIDE}{name}))(?![^\W_])", seen)
        for name in called
        if name in COMMON_WORDS
    )


def _betrays(identifier: str, plain: str, words: list[str], run: str, numbers: str) -> bool:
    wanted = _plain(identifier)
    if "@" in wanted:
        return wanted in plain.replace(" ", "")
    with suppress(ValueError):
        return any(form in plain for form in _spellings(date.fromisoformat(identifier)))
    letters = "".join(re.findall(r"[^\W_]", wanted))
    digits = re.sub(r"\D", "", wanted)
    if len(digits) >= DIGITS_MIN and len(digits) * 2 > len(letters):
        return any(form in numbers for form in _numbers(digits)) or letters in run
    if digits and len(letters) < 12 and " " not in wanted.strip():
        spaced = r"[\s.\-]{0,2}".join(map(re.escape, letters))
        return re.search(rf"(?<![^\W_]){spaced}(?![^\W_])", plain) is not None  # a passport
    is_long = len(letters) >= LETTERS_MIN and not wanted.strip().isalnum()
    return (is_long and letters in run) or any(word in words for word in _telling(wanted))


def _numbers(digits: str) -> Iterator[str]:
    """The number, and a phone without the codes of country and area."""
    yield digits
    local = digits[2:] if digits.startswith("55") and len(digits) > 11 else digits
    if len(local) in (10, 11) and local[2] in "92345" and len(local[2:]) >= 8:
        yield local[2:]


def _telling(name: str) -> list[str]:
    words = re.findall(r"[^\W\d_]+", name)
    if re.search(r"\d|,", name):
        return []  # an address: its words are those of streets and towns
    return [word for word in words if len(word) > 2 and word not in COMMON_WORDS | GRAMMAR | PARTICLES]


def _spellings(day: date) -> set[str]:
    years = (f"{day.year:04}", f"{day.year % 100:02}")
    forms = set()
    for year in years:
        for month in (f"{day.month:02}", f"{day.month}"):
            for number in (f"{day.day:02}", f"{day.day}"):
                forms |= {f"{number}{sep}{month}{sep}{year}" for sep in "/-."}
    forms |= {f"{day.year:04}{sep}{day.month:02}{sep}{day.day:02}" for sep in ("-", "/", ".", "")}
    forms.add(f"{day.day:02}{day.month:02}{day.year:04}")
    for name, of_year in MONTHS.items():
        if of_year == day.month:
            for number in (f"{day.day}", f"{day.day:02}", f"{day.day}o"):
                forms |= {f"{number} de {name} de {year}" for year in years}
                forms |= {f"{number}{sep}{name}{sep}{year}" for sep in " /-" for year in years}
            forms |= {f"{name} {day.day}, {day.year}", f"{name} {day.day} {day.year}"}
    return forms


def _unescaped(text: str) -> str:
    text = ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return text.replace("\\n", "\n").replace("\\t", "\t").replace("\\/", "/")


def _plain(text: str) -> str:
    """Lower case without accents and unseen characters, one space between words."""
    return _spaced(_seen(_seen(text).lower()))


def _seen(text: str) -> str:
    """Without accents and unseen characters."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text))
    return "".join(each for each in decomposed if unicodedata.category(each) not in {"Mn", "Cf"})


def _spaced(text: str) -> str:
    return re.sub(r"[ \t]+", " ", re.sub("[‐‑‒–—―−]", "-", text))
