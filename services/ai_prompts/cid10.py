"""CID10: which of the codes that our own search found fits a diagnosis as it was typed. A model ranks and says why."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from integrations.language_model import Prompt
from services.ai_prompts.checked import SENTENCE_MAX, Checked
from services.ai_prompts.grounds import unfounded
from services.ai_prompts.inputs import Inputs, as_content, patient_json, prepared
from services.ai_prompts.plain_text import plain
from services.ai_prompts.rules import DATA_ARE_DATA
from services.folded_text import folded
from services.pseudonym_tokens import as_told
from services.pseudonym_words import PARTICLES
from services.pseudonyms import Pseudonyms

VERSION = "cid10/2"
SUGGESTIONS_MAX = 5
ANSWER_TOKENS = 500
SYSTEM = f"""\
Você ordena códigos da CID-10 candidatos para o texto de um diagnóstico já escrito por um profissional de saúde.
{DATA_ARE_DATA}
Regras:
- Use somente códigos da lista "candidatos", no máximo {SUGGESTIONS_MAX}, do mais ao menos adequado ao texto.
- Em "because", diga em uma frase que palavras do texto correspondem ao título do código.
- Se nenhum candidato serve, responda com a lista vazia.
Formato: {{"suggestions": [{{"code": "I10", "because": "…"}}]}}"""

STEM, WORD_MIN = 5, 4  # letters: by which forms of one word are recognised, and that a telling word has at least
UNTELLING = PARTICLES | frozenset({"para", "pela", "pelo", "outra", "outras", "outro", "outros", "especificada"})


class Suggestion(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: str = Field(max_length=8)
    because: str = Field(max_length=600)


class Suggestions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    suggestions: list[Suggestion] = Field(max_length=SUGGESTIONS_MAX)


def build(inputs: Inputs, pseudonyms: Pseudonyms) -> Prompt:
    """The prompt for these inputs, which are as the asker sees them."""
    given = prepared(inputs, pseudonyms)
    content = {
        "paciente": patient_json(given),
        "diagnostico": given.text or "",
        "candidatos": [{"codigo": code, "titulo": title} for code, title in given.candidates],
    }
    return Prompt(SYSTEM, as_content(content), Suggestions, VERSION, ANSWER_TOKENS)


def check(inputs: Inputs, answer: BaseModel) -> Checked:
    """Of ``answer`` the codes that are candidates of ``inputs`` (prepared), each once, with the table's own titles:
    ``{"suggestions": [{"code", "title", "because"}]}``. A reason that says what neither the text nor a title does is
    replaced by the words that both have."""
    if not isinstance(answer, Suggestions):
        raise TypeError("suggestions of codes are checked here")
    titles = {_plain_code(code): (code, title) for code, title in inputs.candidates}
    shown: dict[str, dict[str, str]] = {}
    removed = 0
    for suggestion in answer.suggestions:
        found = titles.get(_plain_code(suggestion.code))
        if found is None or found[0] in shown:
            removed += 1
            continue
        code, title = found
        because, taken = plain(suggestion.because)
        removed += taken
        own = _because(inputs.text or "", title)
        told = because if because == own else _told(inputs, because)
        removed += told is None
        because = own if told is None else told
        shown[code] = {"code": code, "title": title, "because": because}
    return Checked({"suggestions": list(shown.values())}, removed)


def by_rules(inputs: Inputs) -> Suggestions:
    """The search's own order, and which words met."""
    return Suggestions(
        suggestions=[
            Suggestion(code=code, because=_because(inputs.text or "", title))
            for code, title in inputs.candidates[:SUGGESTIONS_MAX]
        ]
    )


def _because(text: str, title: str) -> str:
    met = _met(text, title)
    if met:
        return f"Palavras em comum com o título: {', '.join(met)}."
    return "Encontrado pela busca na tabela, sem palavra igual à do texto."


def _met(text: str, title: str) -> list[str]:
    """Words of the title that the text has too, in any form, as the title writes them."""
    stems = {word[:STEM] for word in _words(text)}
    found = re.findall(r"[^\W\d_]+", title)
    return list(dict.fromkeys(word.lower() for word in found if any(w[:STEM] in stems for w in _words(word))))


def _words(text: str) -> list[str]:
    return [
        word for word in re.findall(r"[a-z]+", folded(text)) if len(word) >= WORD_MIN and word not in UNTELLING
    ]


def _told(inputs: Inputs, because: str) -> str | None:
    """A reason as it may be shown; None when it says or names what neither the text nor a title does."""
    said = _said(inputs)
    told = as_told(because, said)
    return told if told and len(told) <= SENTENCE_MAX and not unfounded(told, said) else None


def _said(inputs: Inputs) -> list[str]:
    return [inputs.text or "", *(f"{code} {title}" for code, title in inputs.candidates)]


def _plain_code(code: str) -> str:
    return code.strip().replace(".", "").upper()
