"""SUMMARY: what a patient's sources say, in sentences that each name theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from pydantic import BaseModel, ConfigDict, Field

from integrations.language_model import Prompt
from services.ai_prompts.checked import Checked, check_sentence
from services.ai_prompts.inputs import (
    SEVERITIES,
    Inputs,
    Source,
    as_content,
    cut,
    newest_first,
    patient_json,
    prepared,
    source_json,
)
from services.ai_prompts.rules import DATA_ARE_DATA
from services.folded_text import folded
from services.pseudonyms import Pseudonyms

VERSION = "summary/2"
SENTENCES_MAX = 12
ANSWER_TOKENS = 800
SYSTEM = f"""\
Você resume o prontuário de um paciente para o profissional de saúde que o atende.
{DATA_ARE_DATA}
Regras do resumo:
- No máximo {SENTENCES_MAX} frases, cada uma com um só assunto.
- Ordem: alergias; problemas e diagnósticos com o código CID-10 que a fonte traz; tratamento atual; últimos sinais \
vitais; últimos atendimentos.
- Cada frase apenas repete o que dizem as fontes e traz em "sources" a "ref" de cada fonte usada, por exemplo ["R1"]. \
Não escreva as refs dentro da frase.
Formato: {{"sentences": [{{"text": "…", "sources": ["R1"]}}]}}"""

# By rules: how many of each are named, and how long a quoted text is.
PROBLEMS_MAX, TREATMENTS_MAX, VISITS_MAX = 4, 2, 3
QUOTED_MAX = 280
# Vital signs as triage writes them (services/vital_signs.py) and as doctors do.
SIGNS = re.compile(
    r"\bPA:?\s*\d{2,3}\s*[/x]\s*\d{2,3}(?:\s*mmHg)?|\bFC:?\s*\d{2,3}(?:\s*bpm)?|\bFR:?\s*\d{1,2}(?:\s*irpm)?"
    r"|\btemperatura:?\s*\d{2}(?:[.,]\d)?\s*°C|\bTax:?\s*\d{2}(?:[.,]\d)?(?:\s*°C)?|\bSpO2:?\s*\d{2,3}\s*%"
    r"|\bglicemia:?\s*\d{2,4}\s*mg/dL|\bdor:?\s*\d{1,2}/10|\bpeso:?\s*\d{1,3}(?:[.,]\d{1,2})?\s*kg",
    re.IGNORECASE,
)


class Sentence(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=600)
    sources: list[str] = Field(min_length=1, max_length=8)


class Summary(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sentences: list[Sentence] = Field(max_length=SENTENCES_MAX)


def build(inputs: Inputs, pseudonyms: Pseudonyms) -> Prompt:
    """The prompt for these inputs, which are as the asker sees them."""
    given = prepared(inputs, pseudonyms)
    content = {"paciente": patient_json(given), "fontes": [source_json(source) for source in given.sources]}
    return Prompt(SYSTEM, as_content(content), Summary, VERSION, ANSWER_TOKENS)


def check(inputs: Inputs, answer: BaseModel) -> Checked:
    """Of ``answer`` the sentences that rest on ``inputs`` (prepared): ``{"sentences": [{"text", "sources"}]}``."""
    if not isinstance(answer, Summary):
        raise TypeError("a summary is checked here")
    shown = []
    removed = 0
    for sentence in answer.sentences:
        checked = check_sentence(inputs, sentence.text, sentence.sources)
        removed += checked.removed
        if checked.shown is not None:
            shown.append(checked.shown)
    return Checked({"sentences": shown}, removed)


def by_rules(inputs: Inputs) -> Summary:
    """An extract of ``inputs`` (prepared): what the sources say in their own words, found by fixed rules."""
    sentences = [*_allergies(inputs), *_problems(inputs), *_treatments(inputs), *_signs(inputs), *_visits(inputs)]
    return Summary(sentences=sentences[:SENTENCES_MAX])


def _allergies(inputs: Inputs) -> Iterator[Sentence]:
    """One sentence, severe ones first, for as many as a sentence may cite."""
    severities = list(SEVERITIES)[::-1]
    noted = [source for source in newest_first(inputs.sources, "allergy") if source.fields.get("substance")]
    noted.sort(key=lambda source: severities.index(source.fields.get("severity") or "MILD"))
    for some in (noted[:5], noted[5:10]):
        if some:
            named = "; ".join(map(_allergy, some))
            yield Sentence(text=cut(f"Alergias registradas: {named}.", 590), sources=[each.ref for each in some])


def _allergy(source: Source) -> str:
    about = [source.fields.get("reaction", ""), SEVERITIES.get(source.fields.get("severity", ""), "")]
    told = ", ".join(cut(_line(each), 80) for each in about if each)
    return cut(_line(source.fields["substance"]), 60) + (f" ({told})" if told else "")


def _problems(inputs: Inputs) -> Iterator[Sentence]:
    """The last diagnoses, each once: by code where there is one, by its words otherwise."""
    seen: set[str] = set()
    for source in newest_first(inputs.sources, "record"):
        diagnosis, codes = source.fields.get("diagnosis", ""), source.fields.get("cid10Codes", "")
        key = codes or folded(diagnosis)
        if not key or key in seen:
            continue
        seen.add(key)
        named = cut(_line(diagnosis), QUOTED_MAX) or "sem descrição"
        coded = f" (CID-10 {codes})" if codes else ""
        text = f"Diagnóstico registrado{_when(source)}: {_stripped(named)}{coded}."
        yield Sentence(text=text, sources=[source.ref])
        if len(seen) == PROBLEMS_MAX:
            return


def _treatments(inputs: Inputs) -> Iterator[Sentence]:
    treated = [source for source in newest_first(inputs.sources, "record") if source.fields.get("treatment")]
    for number, source in enumerate(treated[:TREATMENTS_MAX]):
        said = _stripped(cut(_line(source.fields["treatment"]), QUOTED_MAX))
        title = "Tratamento mais recente" if number == 0 else "Tratamento anterior"
        yield Sentence(text=f"{title}{_when(source)}: {said}.", sources=[source.ref])


def _signs(inputs: Inputs) -> Iterator[Sentence]:
    for source in newest_first(inputs.sources, "record"):
        measured = [match.group() for match in SIGNS.finditer(source.fields.get("notes", ""))]
        if measured:
            said = ", ".join(dict.fromkeys(map(_line, measured)))
            yield Sentence(text=f"Últimos sinais vitais registrados{_when(source)}: {said}.", sources=[source.ref])
            return


def _visits(inputs: Inputs) -> Iterator[Sentence]:
    dated = [source for source in newest_first(inputs.sources, "record", "visit") if source.date]
    days = [next(same) for _, same in groupby(dated, key=lambda source: source.date)]
    some = days[:VISITS_MAX]
    if some:
        named = "; ".join(f"{source.name} em {source.date}{_caption(source)}" for source in some)
        yield Sentence(text=cut(f"Últimos atendimentos: {named}.", 590), sources=[source.ref for source in some])


def _caption(source: Source) -> str:
    caption = _line(source.fields.get("title") or source.fields.get("reason") or "")
    return f" ({cut(caption, 80)})" if caption else ""


def _when(source: Source) -> str:
    return f" em {source.date}" if source.date else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _stripped(text: str) -> str:
    return text.rstrip(" .;,")
