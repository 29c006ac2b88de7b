"""CPF, CNS and passport as people type them: their shape, their check digits, and how they are shown.

Check digits are validate-docbr's. It pads a short CPF with zeros, so the shape is checked here first; for a
CNS that begins with 1 or 2 it makes the number anew and compares, as the Ministry's routine does, so
100000000000015 is refused although its plain sum passes.
"""

from __future__ import annotations

import re

from validate_docbr import CNS, CPF

CPF_SHAPE = re.compile(r"(\d{3})\.?(\d{3})\.?(\d{3})-?(\d{2})", re.ASCII)
CNS_SHAPE = re.compile(r"(\d{3}) ?(\d{4}) ?(\d{4}) ?(\d{4})", re.ASCII)
PASSPORT_SHAPE = re.compile(r"[0-9A-Za-z][0-9A-Za-z -]{3,18}[0-9A-Za-z]", re.ASCII)

WHAT_IT_IS = {
    "cpf": "a CPF with valid check digits, such as 529.982.247-25",
    "cns": "a CNS with a valid check digit, 15 digits",
    "passport": "a passport number, 5 to 20 letters and digits",
}


def normalize(kind: str, value: str) -> str | None:
    """The one form of a ``kind`` (cpf, cns, passport) that is stored: digits alone, a passport as typed.
    None when it is not valid."""
    text = value.strip()
    if kind == "passport":
        return text if PASSPORT_SHAPE.fullmatch(text) else None
    shape, rule = (CPF_SHAPE, CPF()) if kind == "cpf" else (CNS_SHAPE, CNS())
    match = shape.fullmatch(text)
    if match is None:
        return None
    digits = "".join(match.groups())
    return digits if rule.validate(digits) else None


def formatted(kind: str, value: str) -> str:
    """A stored document as it is shown in the clear: ``529.982.247-25``; a CNS and a passport as they are."""
    match = CPF_SHAPE.fullmatch(value) if kind == "cpf" else None
    return value if match is None else "{}.{}.{}-{}".format(*match.groups())
