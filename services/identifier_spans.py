"""Identifiers that are known by their shape alone, wherever they stand in a text: numbers, e-mails, addresses.

Each finder takes a ``FoldedText`` and gives spans of the original. Several may find the same thing; whoever hides joins
what overlaps. CPF, CNS, phones and CEPs are found with the punctuation of forms, without any, and split by spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from validate_docbr import CNS, CPF

from services.folded_text import FoldedText
from services.identifier_dates import dates_in
from services.pseudonym_words import ADDRESSED, KIN, TITLES


@dataclass(frozen=True, slots=True)
class Span:
    """``original[start:end]`` is an identifier. ``key`` is the same for what names the same thing."""

    start: int
    end: int
    kind: str
    key: str


NUMBER = re.compile(r"(?<!\d)\d(?:[ \t.\-/()·]{0,3}\d){7,14}(?!\d)")
GROUPED = {
    "cpf": re.compile(r"(?<!\d)\d{3}[. ]\d{3}[. ]\d{3}[-/ .]\s?\d{2}(?!\d)"),
    "cns": re.compile(r"(?<!\d)[1-9]\d{2}[ .]\d{4}[ .]\d{4}[ .]\d{4}(?!\d)"),
}
# What somebody sees of a document who is not to see it whole.
PARTIAL = {
    "cpf": re.compile(r"\*{3}\.?\d{3}\.?\d{3}-?\*{2}"),
    "cns": re.compile(r"\*{3}\s?\*{4}\s?\*{4}\s?\d{4}(?!\d)"),
}
LABELLED = {
    "cpf": re.compile(r"\bcpf\b\W{0,6}(?:n[o.]?\W{0,3})?(?P<id>\d[\d .\-/]{6,16}\d)"),
    "cns": re.compile(r"\b(?:cns|cartao (?:nacional|sus|do sus)(?: de saude)?)\b\W{0,6}(?P<id>\d[\d .]{12,20}\d)"),
    "rg": re.compile(r"\brg\b\W{0,4}(?:n[o.]?\W{0,3})?(?P<id>[a-z]{0,2}-?\d[\d.\-]{3,12}[\dx])(?!\w)"),
    "passport": re.compile(r"\b(?:passaporte|passport)\b\W{0,4}(?:n[o.]?\W{0,3})?(?P<id>[a-z]{0,3} ?\d{5,9})(?!\w)"),
    "cep": re.compile(r"\bcep\b\W{0,4}(?P<id>\d{2}\.?\d{3}[- ]?\d{3})(?!\d)"),
    "council": re.compile(
        r"\b(?:crm|coren|cro|crp|crf|crn|crefito|crefono|cress|crbm)\b"
        r"[ \-/:.]*(?P<id>(?:[a-z]{2})?[ \-/:.]*(?:n[o.]?\s*)?\d[\d.]{2,8}(?:[ \-/]+[a-z]{2,3}\b)?)"
    ),
    "phone": re.compile(
        r"\b(?:tel|telefone|fone|cel|celular|whats|whatsapp|zap|contato|ligar|recado|phone)\b[^\d\n]{0,12}"
        r"(?P<id>\+?\d[\d ().\-]{5,18}\d)(?!\d)"
    ),
}
PHONES = (
    # Area code and number, with or without the country's and the carrier's.
    re.compile(
        r"(?<![\d.,])(?:\+?\s?55[ .\-]{0,2})?(?:\(\s?0?\d{2}\s?\)|0?[1-9][1-9])[ .\-]{0,3}"
        r"(?:9[ .\-]?\d{4}|[2-5]\d{3})[ .\-]{0,3}\d{4}(?!\d)"
    ),
    re.compile(r"(?<![\d.,/])(?:9[ .]?\d{4}[-. ]\d{4}|9\d{8})(?!\d)"),
    re.compile(r"(?<![\d.,/])(?!(?:19|20)\d{2}\s?-\s?(?:19|20)\d{2}(?!\d))[2-5]\d{3}-\d{4}(?!\d|\s?(?:ui|mg|mcg|ml|g|cal|kcal)\b)"),
    re.compile(r"(?<!\d)0[358]00[ .\-]?\d{3}[ .\-]?\d{3,4}(?!\d)"),
    re.compile(r"(?<![\d.,])(?:\+?1[ .\-])?\(?\d{3}\)?[-. ]\d{3}[-.]\d{4}(?!\d)"),  # abroad
    re.compile(r"\+\d{1,3}(?:[ .\-]?\(?\d{1,4}\)?){2,5}(?!\d)"),
)
CEP = re.compile(r"(?<![\d.,/])\d{2}\.?\d{3}-\d{3}(?!\d)")
EMAIL = re.compile(r"(?<![a-z0-9._%+'\-])[a-z0-9._%+'\-]+\s?@\s?[a-z0-9\-]+(?:\.[a-z0-9\-]+)+")
STREET = (
    r"\b(?:rua|r\.|avenida|av\b\.?|travessa|tv\.|alameda|al\.|estrada|rodovia|rod\.|praca|pca\.?|largo|viela|beco)\s+"
)
REST = re.compile(
    r"(?:,?\s*(?:n[o.]?\.?\s*)?\d{1,5}\b)?"
    r"(?:[\s,\-]+(?:ap|apt|apto|apartamento|bloco|bl|casa|fundos|sala|torre|conjunto|cj)\b\.?\s*(?:\d+\w?|[a-z]\b)?)*"
)
STREETS = (
    # The street's name capitalised (looked at in the original), or with "da", "dos" … and a number behind it.
    re.compile(rf"{STREET}(?P<name>[^\W\d_][^\W\d_.'\-]*(?:\s+[^\W\d_][^\W\d_.'\-]*){{0,6}})"),
    re.compile(rf"{STREET}d[aeo]s?\s[^\d,.;\n]{{2,60}}?,?\s*(?:n[o.]?\.?\s*)?\d{{1,5}}\b"),
    re.compile(rf"{STREET}[^\d,.;\n]{{3,60}}(?:,\s*n[o.]*\.?|\sn[o.]+)\s*\d{{1,5}}\b"),
)
BETWEEN = re.compile(r"\.?[ \t]+")
CONNECTED = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
NAMED = re.compile(
    rf"\b(?P<title>{'|'.join(sorted((TITLES | KIN) - {'d'}, key=len, reverse=True))})\b(?:\s*\([ao]\))?\.?:?\s+"
    r"(?:de nome\s+)?(?P<name>[^\W\d_])"
)
NAME_LINKS = frozenset({"da", "das", "de", "do", "dos", "e"})
NAMES_MAX = 6
IN_CAPITALS_MAX = 2


def shaped_spans(text: FoldedText) -> Iterator[Span]:
    """Everything in ``text`` that has an identifier's shape."""
    yield from _dates(text)
    yield from _numbers(text)
    for kind, pattern in LABELLED.items():
        for match in pattern.finditer(text.folded):
            yield _span(text, kind, match.span("id"))
    for kind, pattern in PARTIAL.items():
        yield from (_span(text, kind, match.span()) for match in pattern.finditer(text.folded))
    for pattern in PHONES:
        yield from (_span(text, "phone", match.span()) for match in pattern.finditer(text.folded))
    yield from (_span(text, "cep", match.span()) for match in CEP.finditer(text.folded))
    yield from (_span(text, "email", match.span()) for match in EMAIL.finditer(text.folded))
    yield from _streets(text)
    yield from _named(text)


def digits_of(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _span(text: FoldedText, kind: str, at: tuple[int, int]) -> Span:
    found = text.folded[slice(*at)]
    digits = digits_of(found)
    return Span(*text.span(*at), kind, digits if len(digits) > 4 else "".join(found.split()))


def _dates(text: FoldedText) -> Iterator[Span]:
    for found in dates_in(text.folded):
        start, end = text.span(found.start, found.end)
        yield Span(start, end, "date", found.iso or "".join(text.folded[found.start : found.end].split()))


def _numbers(text: FoldedText) -> Iterator[Span]:
    """CPFs and CNSs: what has their groups, and any run of as many digits whose check digits are right."""
    for kind, pattern in GROUPED.items():
        yield from (_span(text, kind, match.span()) for match in pattern.finditer(text.folded))
    for match in NUMBER.finditer(text.folded):
        digits = digits_of(match.group())
        if len(digits) == 11 and (CPF().validate(digits) or match.group().isdigit()):
            yield _span(text, "cpf", match.span())
        elif len(digits) == 15 and (CNS().validate(digits) or match.group().isdigit()):
            yield _span(text, "cns", match.span())


def _streets(text: FoldedText) -> Iterator[Span]:
    capitalised, *numbered = STREETS
    for match in capitalised.finditer(text.folded):
        end = _capitals(text, match.start("name"), NAMES_MAX)
        if end is not None:
            rest = REST.match(text.folded, end)
            yield _span(text, "address", (match.start(), rest.end() if rest else end))
    for pattern in numbered:
        yield from (_span(text, "address", match.span()) for match in pattern.finditer(text.folded))


def _named(text: FoldedText) -> Iterator[Span]:
    """Somebody whom no table knows: capitalised words after a title or a word of kinship ("a filha Carla"). In a text
    all in capitals a mother's illness looks like her name, so there only two words after a form of address count."""
    for match in NAMED.finditer(text.folded):
        first, last = text.span(*match.span("title"))
        is_shouted = text.original[first:last].isupper() and last - first > 1
        if is_shouted and match["title"] not in ADDRESSED:
            continue
        start = match.start("name")
        end = _capitals(text, start, IN_CAPITALS_MAX if is_shouted else NAMES_MAX)
        if end is not None:
            yield Span(*text.span(start, end), "person", "".join(text.folded[start:end].split()))


def _capitals(text: FoldedText, start: int, words: int) -> int | None:
    """Where the capitalised words that begin at ``start`` (of the folded text) end, ``words`` at most; None when there
    are none."""
    end = None
    at = start
    while words:
        word = CONNECTED.match(text.folded, at)
        if word is None:
            break
        if text.original[text.span(*word.span())[0]].isupper() and word.group() not in NAME_LINKS:
            end = word.end()
            words -= 1
        elif word.group() not in NAME_LINKS:
            break
        gap = BETWEEN.match(text.folded, word.end())
        if gap is None:
            break
        at = gap.end()
    return end
