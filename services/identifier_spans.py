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
from services.pseudonym_words import ADDRESS_WORDS


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
    # A number of the fixed network in one.
    re.compile(
        r"(?<![\d.,/\-])[2-5]\d{7}(?!\d|[.,/\-]\d|\s?(?:ui|u|mg|mcg|ml|g|cal|kcal|copias|celulas|unidades|cel|/)\b)"
    ),
    re.compile(r"(?<!\d)0[358]00[ .\-]?\d{3}[ .\-]?\d{3,4}(?!\d)"),
    re.compile(r"(?<![\d.,])(?:\+?1[ .\-])?\(?\d{3}\)?[-. ]\d{3}[-.]\d{4}(?!\d)"),  # abroad
    re.compile(r"\+\d{1,3}(?:[ .\-]?\(?\d{1,4}\)?){2,5}(?!\d)"),
)
CEP = re.compile(r"(?<![\d.,/])\d{2}\.?\d{3}-\d{3}(?!\d)")
EMAIL = re.compile(r"(?<![a-z0-9._%+'\-])[a-z0-9._%+'\-]+\s?@\s?[a-z0-9\-]+(?:\.[a-z0-9\-]+)+")
HANDLE = re.compile(r"(?<![\w.@])@[a-z0-9_][a-z0-9_.]{1,28}[a-z0-9_]")
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
# Where somebody lives or comes from: the place capitalised.
PLACES = (
    re.compile(
        r"\b(?:mora(?:ndo|va)?|resid(?:e|indo|ia|ente)|morador[a]?|domiciliad[oa]|procedente|proveniente|natural|nascid[oa])"
        r"\s+(?:em|n[oa]s?|d[eoa]s?)\s+(?P<name>[^\W\d_])"
    ),
    re.compile(r"\b(?:bairro|cidade|municipio|distrito|povoado|comunidade)\s+(?:d[eoa]s?\s+)?(?P<name>[^\W\d_])"),
)
STATE = re.compile(r"\s*[-/(,]\s*[a-z]{2}\b\)?")
PLACE_WORDS_MAX = 5
BETWEEN = re.compile(r"\.?[ \t]+")
CONNECTED = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
NAME_LINKS = frozenset({"da", "das", "de", "do", "dos", "e"})
STREET_WORDS_MAX = 6
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
    yield from (_span(text, "handle", match.span()) for match in HANDLE.finditer(text.folded))
    yield from _streets(text)
    yield from _places(text)


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
        end = capitals(text, match.start("name"), STREET_WORDS_MAX)
        if end is not None:
            rest = REST.match(text.folded, end)
            yield _span(text, "address", (match.start(), rest.end() if rest else end))
    for pattern in numbered:
        yield from (_span(text, "address", match.span()) for match in pattern.finditer(text.folded))


def _places(text: FoldedText) -> Iterator[Span]:
    for pattern in PLACES:
        for match in pattern.finditer(text.folded):
            start = match.start("name")
            first, last = text.span(*match.span())
            is_shouted = text.original[first:last].isupper()
            end = capitals(text, start, IN_CAPITALS_MAX if is_shouted else PLACE_WORDS_MAX)
            if end is not None and text.folded[start:end] not in ADDRESS_WORDS:
                state = STATE.match(text.folded, end)
                yield _span(text, "address", (start, state.end() if state else end))


def capitals(text: FoldedText, start: int, words: int) -> int | None:
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
