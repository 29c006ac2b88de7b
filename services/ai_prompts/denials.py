"""In which sense a text says something: that it is there, that it is not ("nega alergia a dipirona", "alergia: não"),
that it was ("ex-tabagista"), or that a relative has it ("mãe teve AVC").

Rules, and no understanding: a sentence is shown where its sense is that of its source by these rules, so that a denial
which they do not know is at least no other denial than the source's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from services.ai_prompts.triage_table import TURNS, is_negated

# Besides what is denied in complaints: what somebody is not, does not use and should not be given.
NOT_SO = re.compile(
    r"\bnao (?:e|era|esta|estava|faz|fez|usa|usava|usou|utiliza|possui|toma|tomava|tomou|deve|pode|foi|houve|ha"
    r"|se|ter|usar|tomar|fazer|sabe|menciona|consta|descreve|registra)(?: \w+){0,4} $"
    r"|\bnao (?:\w+ )?$|\b(?:nunca|jamais|nem|evitar|livre de|nenhum|nenhuma|desconhece)(?: \w+){0,3} $"
    r"|\b(?:excluid[oa]s?|afastad[oa]s?)(?: \w+){0,2} $"
)
AFTER = re.compile(
    r"^\w*(?: \w+){0,2}?(?:\s*[:=-]\s*(?:nega|nao|nenhum|desconhec)\w*\b(?! (?:control|especific|insulin))"
    r"|(?:\s*[:=-]\s*| )(?:foi |foram |esta )?"
    r"(?:(?:neg|descart|afast)ad|excluid|negativ|ausente|inexistente|desconhecid|nao (?:conhecid|relatad|referid"
    r"|registrad|informad|identificad|observad|encontrad|descrit))[oa]?s?\b)"
)
# Where a denial ends: with its clause, and in a list where somebody is called what they are.
ENDS = re.compile(
    r"[.;\n]|, *(?:e )?(?=(?:hipertens|diabetic|asmatic|cardiopat|portador|em uso|em tratamento|usa|uso de|faz uso"
    r"|fez uso|internad|historic|antecedente|diagnostic))"
)
# Words that deny something, wherever in the same part of a clause it follows.
DENIES = re.compile(
    r"\b(?:nao|sem|neg(?:a|ou|ando|am|ado|ada|ados|adas)|nenhum[a]?|nunca|jamais|nem|ausencia|tampouco|isent[oa]s?"
    r"|desconhec\w+|descart\w+|exclui\w*|livre)\b"
)
PARTS = re.compile(r"[.;:,()\n]")
FORMER = re.compile(r"\b(?:ex|antig[oa])[- ]$")
KIN = re.compile(
    r"\b(?:mae|pai|pais|irma|irmas|irmao|irmaos|avos?|tias?|tios?|filh[oa]s?|prim[oa]s?|familiar|familiares|familia)\b"
    # Who speaks for the patient speaks of the patient.
    r"(?![^.;\n]*\b(?:relat|refer|inform|neg|diz|conta|traz|trouxe|acompanh|cuida|queix|observ|nota|percebe)\w*)"
    r"[^.;\n]*$"
)
CLAUSE_MAX = 400  # letters that are looked at before and after a word: no denial in a chart reaches further


@dataclass(frozen=True, slots=True)
class Sense:
    """``is_denied``: by a known way of denying; ``may_be``: something in the same part of the clause denies."""

    is_denied: bool
    may_be: bool
    is_former: bool
    is_of_kin: bool


@lru_cache(maxsize=8192)
def sense_of(text: str, start: int, end: int) -> Sense:
    """The sense of what stands from ``start`` to ``end`` of the folded ``text``; kept, since an answer's sentences ask
    for the same places."""
    before = text[max(0, start - CLAUSE_MAX) : start]
    is_it = is_denied(text, start, end)
    return Sense(
        is_it, is_it or _may_be_denied(before), FORMER.search(before) is not None, KIN.search(before) is not None
    )


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether the folded ``text`` denies what stands from ``start`` to ``end``."""
    first = max(0, start - CLAUSE_MAX)
    near = text[first : end + CLAUSE_MAX]
    begins = max((each.end() for each in ENDS.finditer(near) if each.end() <= start - first), default=0)
    before, after = near[begins : start - first], near[end - first :]
    return is_negated(before) or NOT_SO.search(before) is not None or AFTER.search(after) is not None


def _may_be_denied(before: str) -> bool:
    begins = max((each.end() for each in PARTS.finditer(before)), default=0)
    turns = [each.end() for each in TURNS.finditer(before) if not before[: each.start()].endswith("nao ")]
    return DENIES.search(before[max([begins, *turns]) :]) is not None
