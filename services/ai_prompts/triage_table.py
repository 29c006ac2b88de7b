"""Which findings make a visit urgent: our own table in the manner of triage protocols, for the answer by rules.

Each limit of a vital sign names where it comes from, and so does each reason that rests on one:

- NEWS2: what scores 3 by itself in chart 1 of National Early Warning Score 2 (Royal College of Physicians, 2017), whose
  response is that of 5 or 6 points; its sums, 5 or more urgent, 7 or more an emergency. Made for people from 16 years
  on; low saturation and cold are taken for any age.
- DBHA: a hypertensive crisis, from 180 systolic or 120 diastolic (Diretrizes Brasileiras de Hipertensão Arterial, 2020,
  13.1). Manchester and NEWS2 have no such limit, or a later one (220).
- ADA: hypoglycaemia of level 2, below 54 mg/dL, and of level 1, below 70 (American Diabetes Association, Standards of
  Care, section 6).
- MANCHESTER: severe pain, 8 to 10 (Mackway-Jones, Marsden, Windle: Emergency Triage). Its other general discriminators
  are no numbers, or were not to be had to compare with.
- NICE: 38 °C or more below three months (NG143); taken for the whole first year, since ages here are in years.
- OWN: ours, further out than any of these, for what must not wait at all; and high glucose and high fever.

Words of complaints follow the kind of discriminators that Manchester-style triage asks for first (airway, breathing,
circulation, consciousness, pain) and the warning signs of Brazil's Caderno de Atenção Básica 28 (Acolhimento à demanda
espontânea, vol. II, 2013); they are in ``data/triage_words.json``. It is no copy of any of them and no certified
protocol: it says where to look first, a person decides, and what it does not know is NORMAL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

from services.folded_text import FoldedText

WORDS_FILE = Path(__file__).parent.parent / "data" / "triage_words.json"


@dataclass(frozen=True, slots=True)
class Discriminator:
    """``level`` that ``pattern``, found in a folded complaint, asks for; ``name`` in Portuguese."""

    level: str
    name: str
    pattern: re.Pattern[str]


@cache
def discriminators() -> tuple[Discriminator, ...]:
    """The table of words, most urgent first; read once. ``@`` in a pattern stands for those of pain in the chest."""
    table = orjson.loads(WORDS_FILE.read_bytes())
    chest = f"(?:{'|'.join(table['@'])})"
    return tuple(
        Discriminator(level, name, re.compile(rf"\b(?:{'|'.join(patterns).replace('@', chest)})"))
        for level in ("CRITICAL", "HIGH", "LOW")
        for name, patterns in table[level].items()
    )


# Before a finding, what says that it is not there; what follows "sem melhora" is.
NEGATED = re.compile(
    r"(?:\bneg(?:a|ou|ando)\b[^.;\n]*|\bsem (?!melhor|alivi|resposta|passar|parar|cessar)(?:\w+ ){0,2}"
    r"|\bnao (?:tem|refere|apresenta|ha|houve|teve|sente|relata|tem tido|apresentou) (?:\w+ ){0,3}"
    r"|\bausencia de (?:\w+ ){0,2}|\bdescartad[oa]s? (?:\w+ ){0,2})$"
)
TURNS = re.compile(r"\b(?:mas|porem|refere|relata|apresenta|evolui|agora|hoje|queixa|tem|teve|sente|com|ha|desde)\b")
NEWS2_AGE = 16
URGENT_SUM, EMERGENCY_SUM = 5, 7


def findings(complaint: str) -> list[tuple[Discriminator, str]]:
    """Discriminators that ``complaint`` says are there, most urgent first, with its words."""
    view = FoldedText(complaint)
    text = view.folded
    found = []
    for discriminator in discriminators():
        for match in discriminator.pattern.finditer(text):
            if not is_negated(text[: match.start()]):
                found.append((discriminator, complaint[slice(*view.span(*_whole_words(text, match)))]))
                break
    return found


def _whole_words(text: str, match: re.Match[str]) -> tuple[int, int]:
    end = match.end()
    while end < len(text) and text[end].isalnum():
        end += 1
    return match.start(), end


def is_negated(before: str) -> bool:
    """Whether what follows ``before`` (folded) is said not to be there."""
    turns = [turn.end() for turn in TURNS.finditer(before) if not before[: turn.start()].endswith("nao ")]
    return NEGATED.search(before[turns[-1] :] if turns else before) is not None


# Vital sign → what NEWS2 scores: (at most, points) in order, the last one for all above.
NEWS2: dict[str, tuple[tuple[float, int], ...]] = {
    "respiratory_rate": ((8, 3), (11, 1), (20, 0), (24, 2), (float("inf"), 3)),
    "oxygen_saturation": ((91, 3), (93, 2), (95, 1), (float("inf"), 0)),
    "systolic": ((90, 3), (100, 2), (110, 1), (219, 0), (float("inf"), 3)),
    "heart_rate": ((40, 3), (50, 1), (90, 0), (110, 1), (130, 2), (float("inf"), 3)),
    "temperature": ((35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1), (float("inf"), 2)),
}
# As a reason names them.
NEWS2_SOURCE, DBHA, ADA, MANCHESTER, NICE, OWN = "NEWS2", "DBHA", "ADA", "Manchester", "NICE", "margem própria"


@dataclass(frozen=True, slots=True)
class Limit:
    """``lowest`` and ``highest`` that are not yet as urgent as ``level``; ``source`` says so."""

    level: str
    source: str
    lowest: float = float("-inf")
    highest: float = float("inf")


# Sign → its limits, the most urgent first: the first one that a value is outside of counts.
ANY_AGE: dict[str, tuple[Limit, ...]] = {
    "oxygen_saturation": (Limit("CRITICAL", OWN, lowest=85), Limit("HIGH", NEWS2_SOURCE, lowest=92)),
    "glucose": (
        Limit("CRITICAL", ADA, lowest=54), Limit("HIGH", ADA, lowest=70), Limit("HIGH", OWN, highest=299),
    ),
    "temperature": (Limit("HIGH", NEWS2_SOURCE, lowest=35.1), Limit("HIGH", OWN, highest=39.9)),
    "pain": (Limit("HIGH", MANCHESTER, highest=7),),
}  # fmt: skip
ADULT: dict[str, tuple[Limit, ...]] = {
    "systolic": (
        Limit("CRITICAL", OWN, lowest=80), Limit("HIGH", NEWS2_SOURCE, lowest=91), Limit("HIGH", DBHA, highest=179),
    ),
    "diastolic": (Limit("HIGH", DBHA, highest=119),),
    "heart_rate": (Limit("CRITICAL", OWN, 36, 149), Limit("HIGH", NEWS2_SOURCE, 41, 130)),
    "respiratory_rate": (Limit("CRITICAL", OWN, 8, 34), Limit("HIGH", NEWS2_SOURCE, 9, 24)),
}  # fmt: skip
INFANT: dict[str, tuple[Limit, ...]] = {
    "temperature": (Limit("HIGH", OWN, lowest=35.5), Limit("HIGH", NICE, highest=37.9)),
}


def alarming(signs: dict[str, float], age: int | None) -> list[tuple[str, str, str]]:
    """(level, sign, source) of each vital sign out of its limits, most urgent level of each. Of unknown age: an
    adult's."""
    tables = [ANY_AGE]
    if age is None or age >= NEWS2_AGE:
        tables.append(ADULT)
    elif age < 1:
        tables.append(INFANT)
    found: dict[str, Limit] = {}
    for table in tables:
        for sign, limits in table.items():
            value = signs.get(sign)
            for limit in limits:
                if value is not None and not limit.lowest <= value <= limit.highest:
                    found.setdefault(sign, limit)
                    break
    return [(limit.level, sign, limit.source) for sign, limit in found.items()]


def news2(signs: dict[str, float], age: int | None) -> int:
    """The sum of what was measured (air and consciousness are not known here); 0 below 16 years."""
    if age is not None and age < NEWS2_AGE:
        return 0
    return sum(
        next(points for most, points in NEWS2[sign] if value <= most)
        for sign, value in signs.items()
        if sign in NEWS2
    )
