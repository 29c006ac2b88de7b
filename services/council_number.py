"""Registration with a professional council: CRM for doctors, COREN for nurses, each of one state."""

from __future__ import annotations

import re

from models.user import Role

STATES = (
    "AC", "AL", "AM", "AP", "BA", "CE", "DF", "ES", "GO", "MA", "MG", "MS", "MT", "PA", "PB", "PE", "PI", "PR", "RJ",
    "RN", "RO", "RR", "RS", "SC", "SE", "SP", "TO",
)  # fmt: skip
COUNCIL_OF = {Role.DOCTOR: "CRM", Role.NURSE: "COREN"}
# COREN adds the category: ENF, TE, AUX.
NUMBER = r"(\d{1,3}\.\d{3}|\d{3,7})"
SHAPE = re.compile(rf"(CRM|COREN)[-/ ]?({'|'.join(STATES)})[- ]?{NUMBER}(?:-([A-Z]{{2,3}}))?", re.ASCII)


def normal_council(text: str) -> str | None:
    """``crm/sp 123.456`` as it is printed, ``CRM-SP 123456``; None when it is no council number."""
    match = SHAPE.fullmatch(text.strip().upper())
    if match is None:
        return None
    council, state, number, category = match.groups()
    return f"{council}-{state} {number.replace('.', '')}" + (f"-{category}" if category else "")


def council_for(role: Role, council: str | None) -> bool:
    """Whether ``council`` is of the kind that ``role`` is registered with; any will do for roles that need none."""
    wanted = COUNCIL_OF.get(role)
    return wanted is None or (council is not None and council.startswith(f"{wanted}-"))
