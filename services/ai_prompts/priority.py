"""PRIORITY: how urgent a visit may be, with reasons that name what they rest on. A suggestion; a person sets it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from integrations.language_model import Prompt
from models.record import PRIORITIES
from services.ai_prompts.checked import Checked, check_sentence, signs_text
from services.ai_prompts.inputs import AGE, COMPLAINT, SIGNS, Inputs, as_content, patient_json, prepared, source_json
from services.ai_prompts.rules import DATA_ARE_DATA
from services.ai_prompts.triage_table import EMERGENCY_SUM, URGENT_SUM, alarming, findings, news2
from services.pseudonyms import Pseudonyms
from services.vital_signs import WORDS

VERSION = "priority/2"
REASONS_MAX = 6
ANSWER_TOKENS = 400
SYSTEM = f"""\
Você sugere a prioridade de atendimento de quem chega a uma clínica. Um profissional de saúde decide.
{DATA_ARE_DATA}
Prioridades: CRITICAL (risco imediato à vida), HIGH (muito urgente), NORMAL (pode esperar), LOW (rotina).
Regras:
- Olhe nesta ordem: via aérea, respiração, circulação, consciência, dor; depois a queixa.
- Em dúvida entre duas, escolha a mais urgente; sem dados que indiquem urgência, escolha NORMAL.
- Dê de 1 a {REASONS_MAX} razões curtas. Cada uma apenas repete um dado e traz em "sources" de onde ele vem: \
"{COMPLAINT}", "{SIGNS}", "{AGE}" ou a "ref" de uma fonte.
Formato: {{"priority": "NORMAL", "reasons": [{{"text": "…", "sources": ["{COMPLAINT}"]}}]}}"""
LEVELS = {"CRITICAL": "urgência máxima", "HIGH": "urgência alta", "NORMAL": "sem urgência", "LOW": "rotina"}
MAX_AGE_BY_ITSELF_LOW = 75  # years from which on rules don't call anything routine, nor below one year


class Reason(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=600)
    sources: list[str] = Field(min_length=1, max_length=8)


class Priority(BaseModel):
    model_config = ConfigDict(extra="forbid")

    priority: Literal["CRITICAL", "HIGH", "NORMAL", "LOW"]
    reasons: list[Reason] = Field(max_length=REASONS_MAX)


def build(inputs: Inputs, pseudonyms: Pseudonyms) -> Prompt:
    """The prompt for these inputs, which are as the asker sees them."""
    given = prepared(inputs, pseudonyms)
    content = {
        "paciente": patient_json(given),
        "queixa": {"ref": COMPLAINT, "texto": given.text or ""},
        "sinais_vitais": {"ref": SIGNS, "texto": signs_text(given) or "não medidos"},
        "fontes": [source_json(source) for source in given.sources],
    }
    return Prompt(SYSTEM, as_content(content), Priority, VERSION, ANSWER_TOKENS)


def check(inputs: Inputs, answer: BaseModel) -> Checked:
    """Of ``answer`` the reasons that rest on ``inputs`` (prepared), and the priority where one is left:
    ``{"priority": … or None, "reasons": [{"text", "sources"}], "rules": …}``. ``rules``: what the fixed limits ask for
    in the same shape where that is more urgent, so that no model is less careful than they without its being seen;
    else None."""
    if not isinstance(answer, Priority):
        raise TypeError("a priority is checked here")
    fixed = by_rules(inputs)
    ours = [reason.text for reason in fixed.reasons]
    reasons, removed = _reasons(inputs, answer, ours)
    level = answer.priority if reasons else None
    rules = None
    if PRIORITIES.index(fixed.priority) < PRIORITIES.index(level or "NORMAL"):
        rules = {"priority": fixed.priority, "reasons": _reasons(inputs, fixed, ours)[0]}
    return Checked({"priority": level, "reasons": reasons, "rules": rules}, removed + (not reasons))


def _reasons(inputs: Inputs, answer: Priority, ours: Collection[str]) -> tuple[list[dict[str, Any]], int]:
    """(those that may be shown, what was taken out)."""
    shown = []
    removed = 0
    for reason in answer.reasons:
        checked = check_sentence(inputs, reason.text, reason.sources, ours=ours)
        removed += checked.removed
        if checked.shown is not None:
            shown.append(checked.shown)
    return shown, removed


def by_rules(inputs: Inputs) -> Priority:
    """The most urgent level that a vital sign or a word of the complaint asks for. Where nothing does, NORMAL, and it
    says that no rule knew better; LOW only for a routine request of somebody whose signs, if measured, are calm."""
    signs = numbers(inputs)
    found = [*_signs_reasons(inputs, signs), *_complaint_reasons(inputs)]
    urgent = [(level, reason) for level, reason in found if level != "LOW"]
    if urgent:
        level = min((level for level, _ in urgent), key=PRIORITIES.index)
        urgent.sort(key=lambda each: PRIORITIES.index(each[0]))
        return Priority(priority=level, reasons=[reason for _, reason in urgent[:REASONS_MAX]])
    is_between = inputs.age is not None and 1 <= inputs.age < MAX_AGE_BY_ITSELF_LOW
    if found and is_between:
        return Priority(priority="LOW", reasons=[reason for _, reason in found[:REASONS_MAX]])
    said = "Nenhum sinal de urgência foi reconhecido {}; na dúvida, prioridade normal até a avaliação."
    where = [(COMPLAINT, "na queixa")] if inputs.text else []
    where += [(SIGNS, "nos sinais vitais")] if signs else []
    where = where or ([(AGE, "na idade")] if inputs.age is not None else [])
    named = " nem ".join(words for _, words in where)
    reasons = [Reason(text=said.format(named), sources=[ref for ref, _ in where])] if where else []
    return Priority(priority="NORMAL", reasons=reasons)


def numbers(inputs: Inputs) -> dict[str, float]:
    """The vital signs as numbers; what is none is left out."""
    signs = {}
    for name, text in inputs.vital_signs.items():
        with suppress(ValueError):
            signs[name] = float(text.replace(",", "."))
    return signs


def _signs_reasons(inputs: Inputs, signs: dict[str, float]) -> Iterator[tuple[str, Reason]]:
    for level, sign, source in alarming(signs, inputs.age):
        text = f"{_written(sign, inputs)}: fora do limite ({source}; {LEVELS[level]})."
        yield level, Reason(text=text, sources=[SIGNS])
    points = news2(signs, inputs.age)
    if points >= URGENT_SUM:
        level = "CRITICAL" if points >= EMERGENCY_SUM else "HIGH"
        yield level, Reason(
            text=f"Soma NEWS2 do que foi medido: {points} pontos ({LEVELS[level]}).", sources=[SIGNS]
        )


def _complaint_reasons(inputs: Inputs) -> Iterator[tuple[str, Reason]]:
    for discriminator, words in findings(inputs.text or ""):
        text = f"A queixa traz “{words}”: {discriminator.name} ({LEVELS[discriminator.level]})."
        yield discriminator.level, Reason(text=text, sources=[COMPLAINT])


def _written(sign: str, inputs: Inputs) -> str:
    if sign in ("systolic", "diastolic"):
        return f"PA {inputs.vital_signs.get('systolic', '?')}/{inputs.vital_signs.get('diastolic', '?')} mmHg"
    text = WORDS[sign].format(inputs.vital_signs[sign])
    return text[0].upper() + text[1:]
