"""A sentence is shown that says what its sources say, in the same sense: on the shipped set, and word by word."""

from __future__ import annotations

import time

import pytest

from services.ai_evaluation_set import Case, cases
from services.ai_prompts import priority, summary
from services.ai_prompts.grounds import unfounded
from services.ai_prompts.inputs import prepared
from tests.ai.made_up import inputs, record, table

CLAIMS = [(case, text) for case in cases() for text in case.untrue]
# True, and lost all the same: words that no source has, which a rule can't tell from invented ones.
LOST = (
    "Amigdalite aguda tratada com azitromicina 500 mg por 5 dias.",
    "Infecção urinária tratada com nitrofurantoína 100 mg de 6/6 h.",
    "Afebril.",
    "Orientada dieta hipocalórica e caminhada de 30 minutos.",
)
HONEST = [(case, text) for case in cases() for text in case.honest]
PARAPHRASES = [(case, text) for case, text in HONEST if text not in LOST]


def said_of(case: Case, text: str) -> list[str]:
    """The sentences that are left of this one about a case of the shipped set, citing all of its sources."""
    given = prepared(case.summary_inputs(), case.pseudonyms())
    answer = summary.Summary(sentences=[summary.Sentence(text=text, sources=[each.ref for each in given.sources])])
    return [sentence["text"] for sentence in summary.check(given, answer).payload["sentences"]]


@pytest.mark.parametrize(("case", "text"), CLAIMS, ids=[text for _, text in CLAIMS])
def test_what_a_source_denies_orders_or_leaves_out_is_not_shown(case: Case, text: str) -> None:
    assert said_of(case, text) == []


@pytest.mark.parametrize(("case", "text"), PARAPHRASES, ids=[text for _, text in PARAPHRASES])
def test_what_a_source_says_or_denies_is_shown_in_other_words(case: Case, text: str) -> None:
    assert said_of(case, text) == [text]


def test_little_that_is_true_is_lost() -> None:
    lost = [text for case, text in HONEST if not said_of(case, text)]
    assert sorted(lost) == sorted(LOST)
    assert len(lost) <= 0.05 * len(HONEST)


@pytest.mark.parametrize("text", ["Sem sinais de gravidade, paciente estável.", "Paciente estável.", "Exames normais."])
@pytest.mark.parametrize("refs", [["QUEIXA"], ["QUEIXA", "SINAIS", "R1", "R3"]])
def test_nothing_calms_that_no_source_says(text: str, refs: list[str]) -> None:
    given = prepared(inputs("PRIORITY", text="Dor no peito", vital_signs={"heart_rate": "104"}), table())
    reason = priority.Reason(text=text, sources=refs)
    checked = priority.check(given, priority.Priority(priority="LOW", reasons=[reason]))
    assert (checked.payload["priority"], checked.payload["reasons"]) == (None, [])
    assert checked.payload["rules"]["priority"] == "HIGH", "what the fixed limits ask for is said"


@pytest.mark.parametrize(
    "text",
    ["Dor no peito.", "Queixa de dor no peito.", "FC de 104 bpm.", "Frequência cardíaca de 104 bpm.",
     "58 anos de idade.", "Mulher de 58 anos com dor no peito e alergia à penicilina."],
)  # fmt: skip
def test_a_reason_that_repeats_what_is_there_is_shown(text: str) -> None:
    given = prepared(inputs("PRIORITY", text="Dor no peito", vital_signs={"heart_rate": "104"}), table())
    reason = priority.Reason(text=text, sources=["QUEIXA", "SINAIS", "IDADE", "R3"])
    assert priority.check(given, priority.Priority(priority="HIGH", reasons=[reason])).payload["priority"] == "HIGH"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Sem alergias.", "Nega alergia a dipirona."),  # of one thing
        ("Nega alergias.", "Alergia a dipirona."),
        ("Não tem alergias conhecidas.", "Consulta de rotina."),
        ("Alergias: nenhuma.", "Alergia: penicilina."),
        ("Desconhece alergias.", "Alergia a iodo."),
        ("Tem hepatite.", "Cirrose hepática."),
        ("Tem sinusite.", "Ritmo sinusal."),
        ("Tem pneumonia.", "Encaminhado ao pneumologista."),
        ("É tabagista.", "Ex-tabagista."),
        ("Teve infarto.", "Pai teve infarto aos 50 anos."),
        ("Está em coma.", "Sem queixas."),
        ("Hemoglobina 8.", "Hemoglobina 13."),
        ("Sem acompanhamento.", "Hipertensão."),
        ("Gravidade normal.", "Exame com prioridade."),
    ],
)
def test_words_alike_are_not_the_same(text: str, source: str) -> None:
    assert unfounded(text, [source]) != []


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Sem alergias conhecidas.", "Nega alergias."),
        ("Nega alergias medicamentosas.", "Sem alergias a medicamentos."),
        ("Pai teve infarto.", "Pai teve infarto aos 50 anos."),
        ("Otalgia há 2 dias.", "Mãe relata otalgia há dois dias."),  # who speaks for the patient
        ("Losartana 50 mg a cada 12 horas.", "Losartana 50 mg de 12/12 h."),
        ("Duas crises ao mês.", "2 crises ao mês."),
        ("Lesões renais.", "Lesão renal."),
        ("Febril.", "Febre."),
    ],
)
def test_other_words_for_the_same_are(text: str, source: str) -> None:
    assert unfounded(text, [source]) == []


def test_what_the_program_notes_of_a_source_is_no_word_of_the_chart() -> None:
    normal = record("R1", diagnosis="Asma", priority="NORMAL", status="CLOSED")
    answer = summary.Summary(sentences=[summary.Sentence(text="Exame normal.", sources=["R1"])])
    assert summary.check(inputs(sources=(normal,)), answer).payload["sentences"] == []


def test_rules_lose_no_sentence_to_the_check() -> None:
    for case in cases():
        given = prepared(case.summary_inputs(), case.pseudonyms())
        assert summary.check(given, summary.by_rules(given)).removed == 0
        given = prepared(case.priority_inputs(), case.pseudonyms())
        assert priority.check(given, priority.by_rules(given)).removed == 0


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Nega febre Hipertensão", "Nega febre\nHipertensão"),  # lines quoted as one
        ("Hipertensa.", "Nega alergias, hipertensa em uso de losartana."),
        ("Hipertensão.", "Hipertensão nega diabetes."),
        ("Diabetes não controlado.", "Diabetes não controlado."),
        ("Deve retornar em 30 dias.", "Retorno em 30 dias."),
        ("Pode apresentar tontura.", "Tontura ao levantar."),
        ("Suspensão oral de amoxicilina.", "Amoxicilina suspensão oral."),
        ("Pressão alta.", "Pressão alta."),
    ],
)
def test_denials_end_where_a_chart_ends_them(text: str, lines: str) -> None:
    assert unfounded(text, [lines]) == []


def test_a_short_word_is_said_by_a_longer_one_of_its_source() -> None:
    assert unfounded("Tem asma.", ["Paciente asmática."]) == []
    assert unfounded("Teve AVC.", ["AVC em 2019."]) == []
    assert unfounded("Tem asma.", ["Paciente hipertensa."]) == ["asma"]


@pytest.mark.parametrize("words", ["tosse ", "Sem dor, febre ou tosse ", "não ", "alergia ", "[PESSOA-1] ", "1 2 "])
def test_an_answer_of_repeated_words_is_judged_in_no_time(words: str) -> None:
    said = "Nega febre, tosse e dispneia. Alergia a iodo. Refere dor há 3 dias; PA 120/80 mmHg. " * 17
    sources = tuple(record(f"R{number}", notes=said) for number in range(1, 9))
    text = words * (590 // len(words))
    answer = summary.Summary(sentences=[summary.Sentence(text=text, sources=["R1", "R2", "R3", "R4", "R5"])] * 12)
    given = prepared(inputs(sources=sources), table())
    started = time.process_time()
    summary.check(given, answer)
    assert time.process_time() - started < 3
