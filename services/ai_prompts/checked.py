"""What of an answer may be shown: plain words that cite what was given and say nothing that it does not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from services.ai_prompts.grounds import denies_allergies, unfounded
from services.ai_prompts.inputs import AGE, COMPLAINT, SIGNS, Inputs, patient_words
from services.ai_prompts.plain_text import plain
from services.ai_prompts.triage_table import findings
from services.folded_text import folded
from services.pseudonym_tokens import as_told
from services.vital_signs import WORDS

CITED = re.compile(r"\s*[\[(]\s*(?:fontes?:?\s*)?(?P<refs>R\d+(?:\s*(?:,|;|e)\s*R\d+)*)\s*[\])]", re.IGNORECASE)
SENTENCE_MAX = 600
OWN = (COMPLAINT, SIGNS, AGE)
# Members of a payload that hold words of a model, or what does; the rest are ids and names of ours.
WORDED = frozenset({"text", "because", "sentences", "suggestions", "reasons", "rules"})


@dataclass(frozen=True, slots=True)
class Checked:
    """``payload``: plain JSON for the answer's row, pseudonyms still in it. ``removed``: how many sentences, codes,
    reasons, links and other markup the model gave that are not in it."""

    payload: dict[str, Any]
    removed: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence that may be shown, as JSON, and what was taken out of it."""

    shown: dict[str, Any] | None  # {"text", "sources": [{"ref", "kind", "id", "version"}]}; None: it may not be
    removed: int


def check_sentence(inputs: Inputs, text: str, refs: Sequence[str], *, ours: Collection[str] = ()) -> Sentence:
    """``text`` as it may be shown with the sources it cites. It may not when it cites none or one that was not given,
    when nothing is left of it, or when it says or names what no cited source does.
    Of ``ours``, sentences that rules made of ``inputs``, the words need no source."""
    words, taken = plain(text)
    cited = list(dict.fromkeys(ref.strip().strip("[]").upper() for ref in refs))
    texts = [text_of(inputs, ref) for ref in cited]
    known = [each for each in texts if each is not None]
    words, mentioned = _without_refs(inputs, words, "\n".join(known))
    if not words or not cited or len(known) < len(cited) or not mentioned <= set(cited):
        return Sentence(None, taken + 1)
    told = as_told(words, known)
    is_ours = any(words == plain(each)[0] for each in ours)
    if told is None or len(told) > SENTENCE_MAX or (not is_ours and _is_unfounded(inputs, told, known)):
        return Sentence(None, taken + 1)
    return Sentence({"text": told, "sources": [reference(inputs, ref) for ref in cited]}, taken)


def _is_unfounded(inputs: Inputs, words: str, known: Sequence[str]) -> bool:
    """Nobody is free of allergies who has one, whatever a record of before says."""
    has_allergy = any(source.kind == "allergy" for source in inputs.sources)
    if has_allergy and denies_allergies(folded(words)):
        return True
    return bool(unfounded(words, known, age=inputs.age, about=patient_words(inputs)))


def text_of(inputs: Inputs, ref: str) -> str | None:
    """What the source named ``ref`` says; None when it was not given."""
    if ref in OWN and inputs.use == "PRIORITY":
        return {COMPLAINT: complaint_text(inputs), SIGNS: signs_text(inputs), AGE: age_text(inputs)}[ref] or None
    source = inputs.source(ref)
    return None if source is None else source.text()


def all_texts(inputs: Inputs) -> list[str]:
    """Everything that a model was told, besides titles of codes."""
    return [*(source.text() for source in inputs.sources), inputs.text or "", signs_text(inputs)]


def complaint_text(inputs: Inputs) -> str:
    """The complaint, with what the table of triage calls what it says ("boca torta": signs of a stroke)."""
    text = inputs.text or ""
    return "\n".join([text, *(each.name for each, _ in findings(text))]) if text else ""


def signs_text(inputs: Inputs) -> str:
    """Vital signs as they are written in a chart; empty when none were measured."""
    signs = inputs.vital_signs
    parts = [f"PA {signs['systolic']}/{signs['diastolic']} mmHg"] if {"systolic", "diastolic"} <= signs.keys() else []
    parts += [form.format(signs[name]) for name, form in WORDS.items() if signs.get(name)]
    return ", ".join(parts)


def age_text(inputs: Inputs) -> str:
    return "" if inputs.age is None else f"{inputs.age} anos"


def reference(inputs: Inputs, ref: str) -> dict[str, Any]:
    """A source as an answer's row names it, to link to and to tell whether it changed since."""
    source = inputs.source(ref)
    if source is None:
        kind = {COMPLAINT: "complaint", SIGNS: "vitalSigns", AGE: "age"}[ref]
        return {"ref": ref, "kind": kind, "id": None, "version": None}
    return {"ref": ref, "kind": source.kind, "id": str(source.id), "version": source.version}


def shown(payload: dict[str, Any], put_back: Callable[[str], str]) -> dict[str, Any]:
    """A payload with what its pseudonyms stand for, by ``Question.put_back``: for who may see the patient now."""
    return {name: _back(value, put_back) for name, value in payload.items()}


def _back(value: Any, put_back: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return put_back(value)
    if isinstance(value, dict):
        return {name: _back(each, put_back) if name in WORDED else each for name, each in value.items()}
    return [_back(each, put_back) for each in value] if isinstance(value, list) else value


def _without_refs(inputs: Inputs, text: str, cited_text: str) -> tuple[str, set[str]]:
    """The sentence without citations in it ("… (R2)"), and which those were. R10 may be a source and a code of the
    table (abdominal pain): what a cited source has as a word is one."""
    mentioned: set[str] = set()

    def take(match: re.Match[str]) -> str:
        refs = [ref.upper() for ref in re.findall(r"R\d+", match["refs"], re.IGNORECASE)]
        if any(re.search(rf"\b{ref}\b", cited_text) for ref in refs):
            return match.group()
        mentioned.update(refs)
        return ""

    return " ".join(CITED.sub(take, text).split()), mentioned
