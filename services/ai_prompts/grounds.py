"""Whether a sentence says what its sources say, as far as that can be checked without understanding it.

Every CID-10 code, every number, every blood pressure, every day and every word that names a fact must stand in a source
that it cites, in the same sense (``content_words``); what is to be done with the patient too. That there are no
allergies is said where a source says so, and not where one denies an allergy to something. What a source tells whoever
reads it to say is no source of anything. That is no proof of truth: a person reads and decides. It is what keeps a
made-up dose, diagnosis, death or discharge from being read at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from services.ai_prompts.clinical_words import clinical_words
from services.ai_prompts.content_words import is_told, unsaid
from services.ai_prompts.denials import sense_of
from services.folded_text import folded
from services.identifier_dates import dates_in
from services.pseudonym_words import NUMBER_WORDS

CODE = re.compile(r"(?<![a-z0-9])[a-tv-z]\d{2}(?:\.?\d{1,2})?(?![a-z0-9])")
UNITS = {
    "mg": "mg miligrama miligramas", "mcg": "mcg µg ug micrograma microgramas", "g": "g grama gramas",
    "kg": "kg quilo quilos", "ml": "ml mililitro mililitros", "l": "l litro litros", "mmhg": "mmhg",
    "bpm": "bpm", "irpm": "irpm mrpm ipm rpm", "%": "%", "c": "oc °c c grau graus", "ui": "ui u unidades",
    "mg/dl": "mg/dl", "g/dl": "g/dl", "mg/kg": "mg/kg", "mg/ml": "mg/ml", "mmol/l": "mmol/l", "meq/l": "meq/l",
    "ng/ml": "ng/ml", "h": "h hs hora horas", "dia": "dia dias", "semana": "semana semanas", "mes": "mes meses",
    "ano": "ano anos", "vez": "vez vezes x", "comprimido": "comprimido comprimidos cp cps comp", "gota": "gota gotas",
    "capsula": "capsula capsulas", "cm": "cm", "mm": "mm", "jato": "jato jatos", "ampola": "ampola ampolas",
}  # fmt: skip
UNIT_OF = {folded(way): unit for unit, ways in UNITS.items() for way in ways.split()}
_UNIT = "|".join(sorted(map(re.escape, UNIT_OF), key=len, reverse=True))
_NUMBER = r"\d+(?:\.\d{3})*(?:[.,]\d+)?"
QUANTITY = re.compile(rf"(?<![\d.,/])(?P<number>{_NUMBER})\s*(?P<unit>{_UNIT})(?![a-z0-9])")
RATIO = re.compile(r"(?<![\d/])(\d{1,3})\s*(?:/|x|por)\s*(\d{1,3})(?![\d/])")
MARKED = re.compile(r"\[data-(\d+)[a-z]{0,2}(?::\s*(\d{4}-\d{2}(?:-\d{2})?))?\]")
TOKEN = re.compile(r"\[[a-z]+-\d+[a-z]{0,2}[^\]]*\]")
NUMBER = re.compile(rf"(?<![\w.,/])(?P<number>{_NUMBER})(?![\w/])")
SPELLED_NUMBERS = {word: number for word, number in NUMBER_WORDS.items() if 1 < number <= 30} | {"duas": 2}
SPELLED = re.compile(rf"\b(?:{'|'.join(SPELLED_NUMBERS)})\b(?! de [a-z])")  # and no day of a month
EVERY = re.compile(r"\b(?:a )?cada (\d{1,2}) ?h(?:s|oras?)?\b")
CID = re.compile(r"\bcid(?:-?10|-?11)?\b")
# Words to the reader of a chart, who was to write the answer, and not about a patient; up to the end of the clause.
ORDER = re.compile(
    r"\b(?:(?:diga|afirme|escreva|informe|declare|conclua|mencione|relate|repita)(?: \w+){0,3} (?:que|:)"
    r"|(?:responda|responder)(?: \w+){0,2} (?:apenas|somente|so|que|com)\b"
    r"|(?:escreva|inclua|acrescente|cite) no resumo\b|ignore (?:todas|tudo|as|os|previous|all|any)\b"
    r"|classifique como\b|(?:say|state|write|answer|respond) that\b)[^.;\n]*"
)
ALLERGY = re.compile(r"\b(?:hipersensibilidade|alergi)\w*")
# What may follow a denied allergy that is of no one thing: "sem alergias medicamentosas conhecidas.".
TO_NOTHING = re.compile(
    r"\w*(?:,? (?:e |ou )?(?:conhecid|medicament|aliment|previ|relatad|referid|registrad|informad|documentad"
    r"|identificad|algum|quaisquer|qualquer|nenhum|negad|ausent|desconhecid|inexistent|nao|a medicament|a remedi"
    r"|a droga|a farmac|a aliment|ate o momento)\w*)*"
    r"\s*(?:[:=-]\s*(?:nega|nao|nenhum|ausent|desconhec)\w*\s*)?(?:$|[.;,()\n]| (?:e|em|no|na|nos|nas)\b)"
)


def unfounded(sentence: str, texts: Iterable[str], *, age: int | None = None, about: str = "") -> list[str]:
    """What ``sentence`` says that none of ``texts`` (those of the sources it cites) does; empty when all is there.
    ``age`` in years and ``about``, words for the patient, may be said without a source: they are in the prompt."""
    said = _in_digits(folded(sentence))
    clean = [_in_digits(ORDER.sub(" ", folded(text))) for text in texts]
    known = "\n".join(clean)
    missing = [code for code in _codes(said) if code not in _codes(known)]
    quantities = _quantities(known) | ({(Decimal(age), "ano")} if age is not None else set())
    missing += [f"{number:f} {unit}" for number, unit in sorted(_quantities(said)) if (number, unit) not in quantities]
    missing += [f"{high}/{low}" for high, low in sorted(_ratios(said)) if (high, low) not in _ratios(known)]
    missing += _days(said, known)
    said = TOKEN.sub(" ", said)
    # Who quotes a text writes its lines as one, and what is denied in one line is then denied in the next.
    known = TOKEN.sub(" ", "\n".join([known, *(" ".join(each.split()) for each in clean), folded(about)]))
    missing += _numbers(_words_of(said), known)
    if denies_allergies(said) and not denies_allergies(known):
        missing.append("alergia")
    return missing + list(dict.fromkeys([*unsaid(_words_of(said), known), *_conduct(said, known)]))


def _in_digits(text: str) -> str:
    """``text`` with numbers and intervals written one way: "duas vezes a cada doze horas" is ``2 vezes 12/12 h``."""
    text = SPELLED.sub(lambda match: str(SPELLED_NUMBERS[match.group()]), text)
    return EVERY.sub(r"\1/\1 h", text)


def denies_allergies(text: str) -> bool:
    """Whether the folded ``text`` says that there is no allergy at all, and not to what."""
    return any(
        sense_of(text, *match.span()).may_be and TO_NOTHING.match(text, match.end())
        for match in ALLERGY.finditer(text)
    )


def _codes(text: str) -> list[str]:
    return [match.group().replace(".", "") for match in CODE.finditer(TOKEN.sub(" ", text))]


def _quantities(text: str) -> set[tuple[Decimal, str]]:
    found = QUANTITY.finditer(RATIO.sub(" ", TOKEN.sub(" ", text)))
    return {(_value(match["number"]), UNIT_OF[match["unit"]]) for match in found}


def _ratios(text: str) -> set[tuple[str, str]]:
    """Blood pressures and the like: ``120/80``, ``120 x 80``."""
    return {(match[1], match[2]) for match in RATIO.finditer(TOKEN.sub(" ", text))}


def _value(text: str) -> Decimal:
    """A number as Portuguese writes it (1.250,5), or with a decimal point where it can be no thousands' (0.125)."""
    if "," in text:
        text = text.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+", text):
        text = text.replace(".", "")
    try:
        return Decimal(text).normalize()
    except InvalidOperation:
        return Decimal(-1)


def _days(said: str, known: str) -> list[str]:
    marks = {match[1] for match in MARKED.finditer(known)}
    missing = [match.group() for match in MARKED.finditer(said) if match[1] not in marks and match[2] is None]
    days = {found.iso for found in dates_in(known) if found.iso}
    days |= {day[:7] for day in days}
    return missing + [found.iso for found in dates_in(said) if found.iso and found.iso not in days]


def _words_of(said: str) -> str:
    """``said`` without what is compared otherwise: codes, days, and numbers with a unit."""
    for day in sorted(dates_in(said), key=lambda each: -each.start):
        said = said[: day.start] + " " * (day.end - day.start) + said[day.end :]
    for pattern in (CID, CODE, RATIO, QUANTITY):
        said = pattern.sub(lambda match: " " * len(match.group()), said)
    return said


def _numbers(said: str, known: str) -> Iterator[str]:
    """Numbers without a unit, such as results and years."""
    found = {_value(match.group()) for match in re.finditer(_NUMBER, known)}
    for match in NUMBER.finditer(said):
        if _value(match["number"]) not in found:
            yield match["number"]


def _conduct(said: str, known: str) -> Iterator[str]:
    """What ``said`` would have done that ``known`` would not."""
    for name, pattern in clinical_words().conduct.items():
        if not all(is_told(said, match, pattern.finditer(known), known) for match in pattern.finditer(said)):
            yield name
