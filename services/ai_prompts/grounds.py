"""Whether a sentence says what its sources say, as far as that can be checked without understanding it.

Every CID-10 code, every number with a unit, every blood pressure, every day and every clinical term of a sentence must
stand in a source that it cites, denied where it is denied there and said where it is said; what is to be done with the
patient too. What a source tells whoever reads it to say is no source of anything. That is no proof of truth: a person
reads and decides. It is what keeps a made-up dose, diagnosis or discharge from being read at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from services.ai_prompts.clinical_words import clinical_words
from services.ai_prompts.denials import is_denied
from services.folded_text import folded
from services.identifier_dates import dates_in

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
# Endings and beginnings of Portuguese words that name an illness, a drug or what was done.
CLINICAL = re.compile(
    r"(?:ite|ose|oma|emia|uria|algia|patia|pneia|plasia|plegia|paresia|penia|cardia|tireoidismo"
    r"|ectomia|scopia|grafia|terapia|plastia|tomia|pril|sartana|olol|statina|prazol|cilina|micina|floxacino|azol|dipino"
    r"|formina|gliptina|gliflozina|zepam|oxetina|pramina|profeno|corona|solona|solina)s?$"
    r"|^(?:hipertens|hipotens"
    r"|diabet|cancer|tumor|infart|avc$|acidente vascular|alergi|anafila|epileps|depress|asma|tubercul|sifilis|hiv$"
    r"|aids|dengue|covid|hepat|hernia|fratura|sepse|insuficienc|insulin|dipiron|paracetamol|gravid(?:a|as|ez)$|gestan|obesidad"
    r"|demencia|alzheimer|parkinson|esquizofren|bipolar|suicid|metasta|leucem|linfoma|aneurisma|trombo|embol|anemi)"
)
WORD = re.compile(r"[a-z]+\d?(?![a-z0-9])")
SHORT = 4  # letters: a word that has no more is compared whole
STEM = 6  # letters by which forms of one word are recognised (hipertensão, hipertenso)
# Words to the reader of a chart, who was to write the answer, and not about a patient; up to the end of the clause.
ORDER = re.compile(
    r"\b(?:(?:diga|afirme|escreva|informe|declare|conclua|mencione|relate|repita)(?: \w+){0,3} (?:que|:)"
    r"|(?:responda|responder)(?: \w+){0,2} (?:apenas|somente|so|que|com)\b"
    r"|(?:escreva|inclua|acrescente|cite) no resumo\b|ignore (?:todas|tudo|as|os|previous|all|any)\b"
    r"|classifique como\b|(?:say|state|write|answer|respond) that\b)[^.;\n]*"
)
# Words of charts that end alike and name nothing.
FRAME = frozenset({"limite", "permite", "dose", "doses", "terapia", "alergia", "alergias", "alergica", "alergico"})


def unfounded(sentence: str, texts: Iterable[str], *, age: int | None = None) -> list[str]:
    """What ``sentence`` says that none of ``texts`` (those of the sources it cites) does; empty when all is there.
    ``age`` in years may be said without a source: it is in the prompt."""
    said = folded(sentence)
    clean = [ORDER.sub(" ", folded(text)) for text in texts]
    known = "\n".join(clean)
    missing = [code for code in _codes(said) if code not in _codes(known)]
    quantities = _quantities(known) | ({(Decimal(age), "ano")} if age is not None else set())
    missing += [f"{number:f} {unit}" for number, unit in sorted(_quantities(said)) if (number, unit) not in quantities]
    missing += [f"{high}/{low}" for high, low in sorted(_ratios(said)) if (high, low) not in _ratios(known)]
    missing += _days(said, known)
    said = TOKEN.sub(" ", said)
    # Who quotes a text writes its lines as one, and what is denied in one line is then denied in the next.
    known = TOKEN.sub(" ", "\n".join([known, *(" ".join(each.split()) for each in clean)]))
    return missing + list(dict.fromkeys([*_terms(said, known), *_conduct(said, known)]))


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


def _terms(said: str, known: str) -> Iterator[str]:
    """Drugs and diseases that ``known`` has not, or has only where it denies what ``said`` says, or the reverse."""
    words = clinical_words()
    for match in WORD.finditer(said):
        word = match.group()
        if word in FRAME or not (word in words.named or (len(word) > SHORT and CLINICAL.search(word))):
            continue
        ways = {word if word in words.named and len(word) <= SHORT else word[:STEM]}
        whole = {rf"{re.escape(way)}(?![a-z0-9])" for way in ways if len(way) <= SHORT}
        others = words.others(said, match.start(), word)
        whole |= {rf"{re.escape(way)}(?![a-z0-9])" for way in others if len(way) <= SHORT}
        begun = {rf"{re.escape(way)}[a-z]*" for way in ways | others if len(way) > SHORT}
        pattern = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(sorted(whole | begun))})")
        if not _is_told(said, match, known, pattern):
            yield word


def _conduct(said: str, known: str) -> Iterator[str]:
    """What ``said`` would have done that ``known`` would not."""
    for name, pattern in clinical_words().conduct.items():
        if any(not _is_told(said, match, known, pattern) for match in pattern.finditer(said)):
            yield name


def _is_told(said: str, match: re.Match[str], known: str, pattern: re.Pattern[str]) -> bool:
    is_denial = is_denied(said, match.start(), match.end())
    return any(is_denied(known, *each.span()) is is_denial for each in pattern.finditer(known))
