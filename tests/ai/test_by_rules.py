"""Answers without a model: honest, cited, and never more urgent or calmer than what was found."""

from __future__ import annotations

import pytest

from services.ai_prompts import cid10, priority, summary
from services.ai_prompts.checked import shown
from services.ai_prompts.inputs import prepared
from tests.ai.made_up import SOURCES, inputs, record, table


def test_a_summary_leads_with_allergies_and_says_what_the_record_says() -> None:
    pseudonyms = table()
    given = prepared(inputs(), pseudonyms)
    checked = summary.check(given, summary.by_rules(given))
    assert checked.removed == 0
    sentences = shown(checked.payload, pseudonyms.put_back)["sentences"]
    assert [each["text"] for each in sentences] == [
        "Alergias registradas: Penicilina (Anafilaxia, grave).",
        "Diagnóstico registrado em 03/05/2026: Hipertensão arterial sistêmica (CID-10 I10).",
        "Diagnóstico registrado em 01/12/2025: Diabetes mellitus tipo 2 (CID-10 E11.9).",
        "Tratamento mais recente em 03/05/2026: Losartana 50 mg 12/12 h.",
        "Tratamento anterior em 01/12/2025: Metformina 850 mg 2x ao dia.",
        "Últimos sinais vitais registrados em 03/05/2026: PA 150/90 mmHg, FC 72 bpm.",
        "Últimos atendimentos: consulta em 03/05/2026 (Retorno de hipertensão); consulta em 01/12/2025 (Diabetes).",
    ]
    assert all(each["sources"] for each in sentences)


def test_a_summary_of_nothing_says_nothing() -> None:
    assert summary.by_rules(inputs(sources=())).sentences == []


def test_a_summary_quotes_no_link_that_a_record_has() -> None:
    told = record("R1", diagnosis="Asma ![x](https://evil.example/?q=1) leve", treatment="Ver http://evil.example")
    given = prepared(inputs(sources=(told,)), table())
    checked = summary.check(given, summary.by_rules(given))
    assert checked.removed > 0
    assert "evil" not in str(checked.payload)


def test_codes_come_in_the_searchs_order_with_the_words_that_met() -> None:
    given = inputs(
        "CID10", text="Pneumonias de repetição",
        candidates=(("J18.9", "Pneumonia não especificada"), ("B86", "Escabiose [sarna]")),
    )  # fmt: skip
    assert [(each.code, each.because) for each in cid10.by_rules(given).suggestions] == [
        ("J18.9", "Palavras em comum com o título: pneumonia."),
        ("B86", "Encontrado pela busca na tabela, sem palavra igual à do texto."),
    ]


@pytest.mark.parametrize(
    ("complaint", "age", "signs", "expected"),
    [
        ("Dor no peito há 2 horas com suor frio", 60, {}, "CRITICAL"),
        ("Dor no peito", 60, {}, "HIGH"),
        ("Falta de ar desde ontem", 30, {}, "HIGH"),
        ("Falta de ar", 30, {"oxygen_saturation": "82"}, "CRITICAL"),
        ("Tosse", 30, {"oxygen_saturation": "90"}, "HIGH"),
        ("Boca torta e fala enrolada", 70, {}, "CRITICAL"),
        ("Criança convulsionando", 3, {}, "CRITICAL"),
        ("Fraqueza", 40, {"glucose": "48"}, "CRITICAL"),
        ("Febre", 0, {"temperature": "38,2"}, "HIGH"),
        ("Febre", 30, {"temperature": "38,2"}, "NORMAL"),
        ("Mal-estar", 70, {"heart_rate": "118", "respiratory_rate": "23", "temperature": "39,2"}, "HIGH"),
        ("Mal-estar", 70, {"heart_rate": "118", "respiratory_rate": "24", "systolic": "95", "temperature": "39,4"},
         "CRITICAL"),
        ("Cefaleia", 50, {"systolic": "190", "diastolic": "125"}, "HIGH"),
        ("Dor lombar", 40, {"pain": "9"}, "HIGH"),
        ("Dor de garganta e tosse", 25, {}, "NORMAL"),
        ("Nega dor no peito, falta de ar e desmaio; tosse leve", 25, {}, "NORMAL"),
        ("Nega febre, há 2 dias com dor no peito", 25, {}, "HIGH"),
        ("Não melhora, sem alívio da falta de ar", 25, {}, "HIGH"),
        ("Renovação de receita", 45, {"heart_rate": "72"}, "LOW"),
        ("Renovação de receita", 45, {"heart_rate": "140"}, "HIGH"),
        ("Renovação de receita", 88, {}, "NORMAL"),
        ("Renovação de receita", None, {}, "NORMAL"),
        ("Renovação de receita e dor no peito", 45, {}, "HIGH"),
        ("Palpitações", 45, {}, "HIGH"),
        ("Reação alérgica forte", 45, {}, "HIGH"),
        ("Algo estranho", 45, {}, "NORMAL"),
        ("FC que não é número", 45, {"heart_rate": "alta"}, "NORMAL"),
    ],
)  # fmt: skip
def test_a_priority_and_its_reasons(complaint: str, age: int | None, signs: dict[str, str], expected: str) -> None:
    given = prepared(inputs("PRIORITY", sources=SOURCES, text=complaint, age=age, vital_signs=signs), table())
    answer = priority.by_rules(given)
    checked = priority.check(given, answer)
    assert checked.payload["priority"] == expected
    assert checked.removed == 0
    assert all(reason["sources"] for reason in checked.payload["reasons"])


def test_what_rules_do_not_know_is_said() -> None:
    (reason,) = priority.by_rules(inputs("PRIORITY", text="Algo estranho")).reasons
    assert reason.text == (
        "Nenhum sinal de urgência foi reconhecido na queixa; na dúvida, prioridade normal até a avaliação."
    )
    assert priority.by_rules(inputs("PRIORITY", text=None, age=None)).reasons == []
