"""Whether a text says that something is there or that it is not: "nega alergia a dipirona", "alergia: não".

Rules, and no understanding: a denial that they do not know leaves a word as if it were there, and a sentence that
says it is not there is then not shown.
"""

from __future__ import annotations

import re

from services.ai_prompts.triage_table import is_negated

# Besides what is denied in complaints: what somebody is not, does not use and should not be given.
NOT_SO = re.compile(
    r"\bnao (?:e|era|esta|estava|faz|fez|usa|usava|usou|utiliza|possui|toma|tomava|tomou|deve|pode|foi|houve|ha"
    r"|se|ter|usar|tomar|fazer|sabe|menciona|consta|descreve|registra)(?: \w+){0,4} $"
    r"|\bnao (?:\w+ )?$|\b(?:nunca|jamais|nem|evitar|livre de)(?: \w+){0,3} $"
    r"|\b(?:excluid[oa]s?|afastad[oa]s?)(?: \w+){0,2} $"
)
AFTER = re.compile(
    r"^\w*(?: \w+){0,2}?(?:\s*[:=-]\s*(?:nega|nao)\b(?! (?:control|especific|insulin))"
    r"|(?:\s*[:=-]\s*| )(?:foi |foram |esta )?(?:(?:neg|descart|afast)ad|excluid|negativ|ausente)[oa]?s?\b)"
)
# Where a denial ends: with its clause, and in a list where somebody is called what they are.
ENDS = re.compile(
    r"[.;\n]|, *(?:e )?(?=(?:hipertens|diabetic|asmatic|cardiopat|portador|em uso|em tratamento|usa|uso de|faz uso"
    r"|fez uso|internad|historic|antecedente|diagnostic))"
)


CLAUSE_MAX = 400  # letters that are looked at before and after a word: no denial in a chart reaches further


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether the folded ``text`` denies what stands from ``start`` to ``end``."""
    first = max(0, start - CLAUSE_MAX)
    near = text[first : end + CLAUSE_MAX]
    begins = max((each.end() for each in ENDS.finditer(near) if each.end() <= start - first), default=0)
    before, after = near[begins : start - first], near[end - first :]
    return is_negated(before) or NOT_SO.search(before) is not None or AFTER.search(after) is not None
