"""Whether each word of a sentence that says something is said by a source too, and in the same sense.

Words of charts that name no fact ("paciente", "em uso de") need no source, but where they are denied ("sem
tratamento"). Every other word must stand in a source in one of its forms, or in other words for it
(``data/clinical_words.json``): denied where the source denies it, of the past or of a relative where the source says
so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from services.ai_prompts.clinical_words import clinical_words
from services.ai_prompts.denials import Sense, sense_of

WORD = re.compile(r"(?<![a-z0-9])[a-z][a-z0-9]+")
FORM = 5  # letters that two forms of one word have in common at least, and all but ENDING of the shorter one
ENDING = 2
# Words that end so are other illnesses or other acts with another ending: hepatite and hepático, apendicite and
# apendicectomia.
EXACT = re.compile(
    r"(?:ite|ose|oma|emia|uria|algia|patia|pneia|plasia|plegia|paresia|penia|cardia|ectomia|scopia|grafia|terapia"
    r"|plastia|tomia|cele|rreia)$"
)
PLURALS = (("oes", "ao"), ("aes", "ao"), ("ais", "al"), ("eis", "el"), ("ns", "m"), ("res", "r"), ("s", ""))


def unsaid(said: str, known: str) -> Iterator[str]:
    """Words of the folded ``said`` that the folded ``known`` has not, or has in no place in the same sense."""
    words = clinical_words()
    covered: list[tuple[int, int]] = []
    for group in words.groups:
        for match in group.finditer(said):
            if is_told(said, match, group.finditer(known), known):
                covered.append(match.span())
    index = _index(known)
    judged: dict[tuple[str, Sense], bool] = {}
    for match in WORD.finditer(said):
        word = match.group()
        if word in words.function or any(start <= match.start() < end for start, end in covered):
            continue
        sense = sense_of(said, *match.span())
        if word in words.frame and not sense.may_be:
            continue
        form = _singular(word)
        if (form, sense) not in judged:
            places = (place for other, place in index.get(form[:FORM], ()) if is_form(form, other))
            judged[form, sense] = any(sense_of(known, *place) == sense for place in places)
        if not judged[form, sense]:
            yield word


def is_told(said: str, match: re.Match[str], places: Iterable[re.Match[str]], known: str) -> bool:
    """Whether ``known`` says at one of ``places`` what ``said`` says at ``match``, in the same sense."""
    return any(sense_of(known, *place.span()) == sense_of(said, *match.span()) for place in places)


@lru_cache(maxsize=8)
def _index(known: str) -> dict[str, list[tuple[str, tuple[int, int]]]]:
    """First letters → (word in the singular, where it stands): the sentences of an answer have the same sources."""
    found: dict[str, list[tuple[str, tuple[int, int]]]] = {}
    for match in WORD.finditer(known):
        form = _singular(match.group())
        found.setdefault(form[:FORM], []).append((form, match.span()))
    return found


def is_form(word: str, other: str) -> bool:
    """Whether both (singular, folded) are forms of one word: hipertensão and hipertenso."""
    if word == other:
        return True
    shorter = min(len(word), len(other))
    if shorter < FORM or EXACT.search(word):
        return False
    same = max(FORM, shorter - ENDING)
    return word[:same] == other[:same]


def _singular(word: str) -> str:
    if len(word) <= FORM - 1:
        return word.removesuffix("s") if len(word) == FORM - 1 else word
    for plural, singular in PLURALS:
        if word.endswith(plural):
            return word.removesuffix(plural) + singular
    return word
