"""People whom no table knows, by how they are named: after a title or a word of kinship ("a filha Carla"), by a first
name with a surname behind it in whatever case ("mae joana souza"), or by a first name where somebody is introduced
("encaminhado por Carlos", "Joana (mãe)").

First names and surnames that are common in Brazil are in ``data/person_names.json``. A name that gives a disease, a
sign or a house its own ("doença de Carlos Chagas") is nobody's here, and a first name alone is not either: drugs have
them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

from services.folded_text import FoldedText
from services.identifier_spans import Span, capitals
from services.pseudonym_words import ADDRESSED, COMMON_WORDS, KIN, PATIENT, TITLES

FILE = Path(__file__).parent / "data" / "person_names.json"
NAMED = re.compile(
    rf"\b(?P<title>{'|'.join(sorted((TITLES | KIN) - {'d'}, key=len, reverse=True))})\b(?:\s*\([ao]\))?\.?:?\s+"
    r"(?:de nome\s+)?(?P<name>[^\W\d_])"
)
NAMES_MAX = 6
IN_CAPITALS_MAX = 2
WORD = re.compile(r"[^\W\d_]+")
GAP = re.compile(r"\.?[ \t]+|['’\-]")
LINKS = frozenset({"da", "das", "de", "do", "dos", "e", "d"})
BY = frozenset({"por", "pelo", "pela"})
# Before "com" where somebody follows, and no drug: "veio com Marta", "em uso com …" is not here.
MEETS = frozenset(
    """
    veio vem chegou mora reside vive falar falei falou contato junto acompanhado acompanhada conversar conversei trazido
    trazida casado casada ligar
    """.split()  # noqa: SIM905
)
OF_THINGS = frozenset(
    """
    doenca sindrome sinal teste manobra escala escore indice fratura prova reacao cirurgia tecnica criterio criterios
    classificacao mal tumor hospital clinica maternidade instituto centro posto unidade ubs upa laboratorio fundacao
    escola rua avenida praca travessa estrada doencas sondas sonda cateter pinca regra triade metodo protocolo
    """.split()  # noqa: SIM905
)
# What a chart calls a patient, or does with them, where every word is capitalised ("Paciente Idoso Hipertenso").
NO_NAME = re.compile(
    r"^(?:idos|diabet|hipert|hipot|asmat|cardi|gestant|gravid|puerper|tabag|etil|consc|lucid|orient|estav|grave|sexo|masc|femin"
    r"|adult|crianc|acamad|cadeir|portad|intern|encamin|refer|relat|neg(?:a|ou)|apresent|queix|evolu|segu|retorn|compar"
    r"|veio|foi|esta|tem|faz|usa|com$|sem$|em$|ja$|nao$|dor(?:es)?$|oncolog|renal|cronic|agud|obes|epilep|depress|anemi"
    r"|cirros|hiv$|has$|dm$|dpoc$|icc$|pos$|pre$|alta$|ex$|novo$|nova$|bem$|sr|dr)"
    r"|(?:ite|ose|oma|emia|algia|patia|pneia|plegia|logia|ico|ica|ivo|iva|ado|ada|ido|ida|ente|avel|oso|osa)$"
)


@cache
def first_names() -> frozenset[str]:
    return frozenset(" ".join(_names()["given"]).split())


@cache
def surnames() -> frozenset[str]:
    return frozenset(" ".join(_names()["surnames"]).split())


@cache
def _names() -> dict[str, list[str]]:
    return dict(orjson.loads(FILE.read_bytes()))


@dataclass(frozen=True, slots=True)
class _Word:
    folded: str
    start: int
    end: int
    is_capital: bool
    is_shouted: bool


def people_spans(text: FoldedText) -> Iterator[Span]:
    """Everybody in ``text`` whom it names in one of these ways."""
    yield from _titled(text)
    words = [_word(text, match) for match in WORD.finditer(text.folded)]
    at = 0
    while at < len(words):
        end = _name(text, words, at)
        if end is None:
            at += 1
            continue
        start, last = words[at].start, words[end - 1].end
        yield Span(*text.span(start, last), "person", "".join(text.folded[start:last].split()))
        at = end


def _word(text: FoldedText, match: re.Match[str]) -> _Word:
    first, last = text.span(*match.span())
    written = text.original[first:last]
    return _Word(match.group(), *match.span(), written[:1].isupper(), written.isupper() and len(written) > 1)


def _titled(text: FoldedText) -> Iterator[Span]:
    """Capitalised words after a title or a word of kinship. In a text all in capitals a mother's illness looks like her
    name, so there only two words after a form of address count."""
    for match in NAMED.finditer(text.folded):
        first, last = text.span(*match.span("title"))
        is_shouted = text.original[first:last].isupper() and last - first > 1
        if is_shouted and match["title"] not in ADDRESSED:
            continue
        start = match.start("name")
        end = capitals(text, start, IN_CAPITALS_MAX if is_shouted else NAMES_MAX)
        if end is not None:
            yield Span(*text.span(start, end), "person", "".join(text.folded[start:end].split()))


def _name(text: FoldedText, words: list[_Word], at: int) -> int | None:
    """The index behind somebody's name that begins at ``at``; None where none does."""
    if _is_of_a_thing(words, at):
        return None
    end = _run(text, words, at)
    if end is None:
        return _unusual(text, words, at)
    is_one = end - at == 1
    return end if not is_one or _is_introduced(words, at) or _is_kin(text, words, end) else None


def _run(text: FoldedText, words: list[_Word], at: int) -> int | None:
    """Behind a first name and all that follows of the name."""
    first = words[at]
    if first.folded not in first_names() or (first.folded in COMMON_WORDS and not first.is_capital):
        return None
    end = at + 1
    for number in range(at + 1, min(len(words), at + 2 * NAMES_MAX)):
        word = words[number]
        if not GAP.fullmatch(text.folded, words[number - 1].end, word.start):
            break
        if word.folded in LINKS or (len(word.folded) == 1 and word.is_capital):
            continue
        if word.folded in surnames() or word.folded in first_names():
            # "Rosa lima", "ana dias": a word of everyday is a name as the first one is written.
            if word.folded in COMMON_WORDS and first.is_capital and not word.is_capital:
                break
        elif not _may_be_a_name(first, word):
            break
        end = number + 1
    return end


def _may_be_a_name(first: _Word, word: _Word) -> bool:
    is_written_so = first.is_capital and word.is_capital and not word.is_shouted
    return is_written_so and len(word.folded) > 2 and not NO_NAME.search(word.folded)


def _unusual(text: FoldedText, words: list[_Word], at: int) -> int | None:
    """Behind two or more capitalised words after "paciente" that are in no list and name no state."""
    if not at or words[at - 1].folded not in PATIENT or words[at - 1].is_shouted:
        return None
    end, count = at, 0
    for number in range(at, min(len(words), at + NAMES_MAX)):
        word = words[number]
        if number > at and not GAP.fullmatch(text.folded, words[number - 1].end, word.start):
            break
        if word.folded in LINKS and count:
            continue
        if not word.is_capital or word.is_shouted or NO_NAME.search(word.folded):
            break
        end, count = number + 1, count + 1
    return end if count > 1 else None


def _is_introduced(words: list[_Word], at: int) -> bool:
    before = [word.folded for word in words[max(0, at - 2) : at]]
    if not before:
        return False
    last, former = before[-1], before[0] if len(before) > 1 else ""
    return (
        last in PATIENT | KIN | TITLES | BY
        or (last == "com" and former in MEETS)
        or (last in LINKS and former in KIN)
    )


def _is_kin(text: FoldedText, words: list[_Word], end: int) -> bool:
    """Whether "(mãe)" or ", mãe" follows."""
    if end >= len(words) or words[end].folded not in KIN:
        return False
    return re.fullmatch(r"\s*[(,\-]\s*", text.folded[words[end - 1].end : words[end].start]) is not None


def _is_of_a_thing(words: list[_Word], at: int) -> bool:
    before = [word.folded for word in words[max(0, at - 2) : at]]
    return bool(before) and (before[-1] in OF_THINGS or (before[-1] in LINKS and before[0] in OF_THINGS))
