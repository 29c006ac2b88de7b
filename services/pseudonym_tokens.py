"""How pseudonyms are written, by us and by models that change them.

``[PESSOA-1]``, ``[CPF-2B]``, ``[DATA-3: 2023-11-20]``. A ``Token`` is what one names: its kind (a key of LABELS), its
number and its variant, which is a way of writing the same thing (0 is the first one, without a letter).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from string import ascii_uppercase

from services.folded_text import folded

LABELS = {
    "person": "PESSOA",
    "date": "DATA",
    "cpf": "CPF",
    "cns": "CNS",
    "passport": "PASSAPORTE",
    "rg": "RG",
    "phone": "TEL",
    "email": "EMAIL",
    "handle": "PERFIL",
    "address": "ENDERECO",
    "cep": "CEP",
    "council": "REGISTRO",
    "literal": "TEXTO",
}
KINDS = {label: kind for kind, label in LABELS.items()}

_LABEL = "|".join(LABELS.values()).replace("ENDERECO", "ENDERE[CÇ]O").replace("EMAIL", "E-?MAIL")
_DASH = "[-‐‑‒–—_]"
# As we write it, and as models change it: other case, other brackets or none, another date behind the colon.
TOKEN = re.compile(
    rf"[\[<{{⟦【]\s*(?P<label>{_LABEL})\s*{_DASH}?\s*(?P<number>\d{{1,4}})(?P<variant>[A-Z]{{0,2}})"
    r"(?:\s*:[^\[\]<>{}⟦⟧【】]{0,24})?\s*[\]>}⟧】]"
    rf"|(?<![\w-])(?P<label2>{_LABEL}){_DASH}(?P<number2>\d{{1,4}})(?P<variant2>[A-Z]{{0,2}})"
    r"(?:\s?:\s?\d{4}-\d{2}(?:-\d{2})?)?(?!\w)",
    re.IGNORECASE,
)
MOVED = re.compile(r"\d{4}-\d{2}(?:-\d{2})?")

Token = tuple[str, int, int]  # kind, number, variant


def token_of(match: re.Match[str]) -> Token:
    """What a match of TOKEN names."""
    found = match.groupdict()
    label = folded(found["label"] or found["label2"]).upper().replace("-", "")
    letters = found["variant"] or found["variant2"] or ""
    return KINDS[label], int(found["number"] or found["number2"]), _index(letters)


def written(token: Token, moved: str | None = None) -> str:
    """The token as we write it; ``moved``: of a date the ISO form that a model may see."""
    kind, number, variant = token
    return f"[{LABELS[kind]}-{number}{_letters(variant)}" + (f": {moved}]" if moved else "]")


def canonical(text: str) -> str:
    """``text`` with every pseudonym in it as we write them, whichever brackets and case a model gave it."""
    return TOKEN.sub(lambda match: written(token_of(match), _moved(match)), text)


def tokens_in(text: str) -> frozenset[Token]:
    """All pseudonyms that stand in ``text``."""
    return frozenset(map(token_of, TOKEN.finditer(text)))


def as_told(text: str, sources: Iterable[str]) -> str | None:
    """``text`` with each of its pseudonyms as ``sources`` have it; None when they don't have one of them.

    A model that leaves out the letter of ``[CPF-1B]`` means the same number. What ``[CPF-1]`` stands for may be more
    than whoever reads it sees.
    """
    told = sorted(token for source in sources for token in tokens_in(source))
    if any(_told(token, told) is None for token in tokens_in(text)):
        return None

    def instead(match: re.Match[str]) -> str:
        return written(_told(token_of(match), told) or token_of(match), _moved(match))

    return TOKEN.sub(instead, text)


def _told(token: Token, told: list[Token]) -> Token | None:
    if token in told:
        return token
    return next((each for each in told if each[:2] == token[:2]), None)


def _moved(match: re.Match[str]) -> str | None:
    found = MOVED.search(match.group())
    return found.group() if found else None


def _letters(variant: int) -> str:
    """0 → "", 1 → "B", 25 → "Z", 26 → "AA" …"""
    if variant == 0:
        return ""
    high, low = divmod(variant, 26)
    return (ascii_uppercase[high - 1] if high else "") + ascii_uppercase[low]


def _index(letters: str) -> int:
    value = 0
    for letter in letters.upper():
        value = value * 26 + ascii_uppercase.index(letter) + (1 if len(letters) > 1 and value == 0 else 0)
    return value
