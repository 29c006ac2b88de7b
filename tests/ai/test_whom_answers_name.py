"""An answer names whom its sources name, as they do: the table of pseudonyms knows more than its reader may see."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from services.ai_prompts import cid10, priority, summary
from services.ai_prompts.checked import shown
from services.ai_prompts.inputs import Inputs
from services.ai_question import USES, Question, make_question
from services.pseudonym_tokens import as_told, tokens_in
from services.pseudonyms import Pseudonyms
from tests.ai.made_up import SOURCES, inputs, record

CPF, CNS, PASSPORT, MOTHER = "52998224725", "700000000000005", "FX123456", "Iracema Ávila"
NEVER_GIVEN = ("[CPF-1]", "[CNS-1]", "[PASSAPORTE-1]", "[PESSOA-2]", "cpf-1", "<PESSOA-2>", "[PESSOA-9]", "[DATA-7]")


def table() -> Pseudonyms:
    made = Pseudonyms(shift_days=-100)
    made.known("person", "Bia Ferreira", "Maria Ferreira")
    made.known("person", MOTHER)
    made.known("cpf", CPF)
    made.known("cns", CNS)
    made.known("passport", PASSPORT)
    return made


def summed(text: str, *refs: str, sources: Inputs | None = None) -> list[str]:
    """The sentences that are left of this one, as their reader sees them."""
    question = make_question(sources or inputs(), table())
    answer = summary.Summary(sentences=[summary.Sentence(text=text, sources=list(refs))])
    return [each["text"] for each in shown(_payload(question, answer), question.put_back)["sentences"]]


def _payload(question: Question, answer: object) -> dict[str, list[dict[str, str]]]:
    return USES[question.inputs.use].check(question.inputs, answer).payload  # type: ignore[arg-type]


@pytest.mark.parametrize("token", NEVER_GIVEN)
def test_a_sentence_with_a_pseudonym_of_no_cited_source_is_not_shown(token: str) -> None:
    assert summed(f"Alergia à penicilina, {token}.", "R3") == []
    assert summed(f"{token}: alergia à penicilina.", "R3") == []


@pytest.mark.parametrize("token", NEVER_GIVEN)
def test_nor_is_a_reason_for_a_priority_or_a_code(token: str) -> None:
    asked = make_question(inputs("PRIORITY", text="Dor no peito"), table())
    reason = priority.Reason(text=f"Dor no peito, {token}.", sources=["QUEIXA"])
    assert _payload(asked, priority.Priority(priority="HIGH", reasons=[reason]))["reasons"] == []
    asked = make_question(inputs("CID10", text="Asma", candidates=(("J45.9", "Asma"),)), table())
    because = cid10.Suggestions(suggestions=[cid10.Suggestion(code="J45.9", because=f"Asma, {token}.")])
    [suggestion] = shown(_payload(asked, because), asked.put_back)["suggestions"]
    assert suggestion["because"] == "Palavras em comum com o título: asma."


def test_a_pseudonym_of_another_source_attributes_nothing_to_somebody() -> None:
    told = inputs(sources=(*SOURCES, record("R4", notes=f"{MOTHER} telefonou.")))
    assert summed("[PESSOA-2] telefonou.", "R4", sources=told) == [f"{MOTHER} telefonou."]
    assert summed("[PESSOA-2] tem alergia à penicilina.", "R3", sources=told) == []


def test_what_a_source_has_a_part_of_comes_back_as_that_part() -> None:
    """Whoever sees ``***.982.247-**``, or a first name, sees no more because a model leaves a letter out."""
    told = inputs(sources=(record("R1", notes="Maria Ferreira, CPF 529.982.247-25, fez curativo."),))
    question = make_question(told, table())
    assert question.told - {("date", 1, 0)} == {("person", 1, 1), ("cpf", 1, 1)}
    assert summed("[PESSOA-1], [CPF-1], fez curativo.", "R1", sources=told) == [
        "Maria Ferreira, 529.982.247-25, fez curativo."
    ]
    assert question.put_back("[CPF-1] [CPF-1B]") == "[CPF-1] 529.982.247-25"


def test_the_social_name_is_the_one_that_a_person_is_called_by() -> None:
    told = inputs(sources=(record("R1", notes="Bia Ferreira fez curativo."),))
    assert summed("[PESSOA-1] fez curativo.", "R1", sources=told) == ["Bia Ferreira fez curativo."]


def test_an_answer_that_was_kept_is_put_back_by_what_was_sent() -> None:
    question = make_question(inputs(), table())
    kept = {"sentences": [{"text": "CPF [CPF-1], CNS [CNS-1], [PASSAPORTE-1], [PESSOA-2]", "sources": []}]}
    assert shown(kept, question.put_back) == kept
    assert not {CPF, CNS, PASSPORT, MOTHER} & set(str(shown(kept, question.put_back)).split())


def test_rules_teach_no_pseudonym() -> None:
    for use in USES:
        assert not tokens_in(make_question(inputs(use, text="Tosse"), table()).prompt.system)


def test_as_told_takes_the_way_of_writing_that_stands_there() -> None:
    assert as_told("[cpf-1] e [DATA-1: 2026-01-01]", ["[CPF-1B] [DATA-1: 2026-01-01]"]) == (
        "[CPF-1B] e [DATA-1: 2026-01-01]"
    )
    assert as_told("[CPF-1]", ["[CPF-1] [CPF-1B]"]) == "[CPF-1]"
    assert as_told("[CPF-1]", ["[CNS-1]"]) is None
    assert as_told("Sem nomes", []) == "Sem nomes"


def test_ids_of_sources_are_no_pseudonyms() -> None:
    source = replace(SOURCES[0], id=uuid.UUID(int=1))
    question = make_question(inputs(sources=(source,)), table())
    assert question.told <= {("person", 1, 0), ("person", 1, 1), ("person", 1, 2), ("date", 1, 0), ("date", 2, 0)}
