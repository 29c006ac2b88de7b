"""An answer is read along from its first words, never with half a pseudonym or a link that is only beginning."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from services.ai_prompts.so_far import codes_so_far, words_so_far
from tests.ai.made_up import inputs, record

WHOLE = json.dumps(
    {
        "sentences": [
            {"text": "[PESSOA-12] tem asma, \"leve\" em [DATA-3: 2023-11-20].", "sources": ["R1"]},
            {"text": "Veja ![x](https://evil.example/a) e [isto](https://evil.example/b) agora.", "sources": ["R2"]},
        ]
    },
    ensure_ascii=False,
)


SOURCES = (
    record("R1", notes="[PESSOA-12] tem asma leve desde [DATA-3: 2023-11-20]."),
    record("R2", notes="[PESSOA-2] ligou."),
)
GIVEN = inputs(sources=SOURCES)


def test_at_every_moment_it_is_plain_words_of_the_answer() -> None:
    before: list[str] = []
    for end in range(len(WHOLE) + 1):
        words = words_so_far(WHOLE[:end], GIVEN)
        said = " ".join(words)
        assert "://" not in said and "evil" not in said and "<" not in said
        assert "[PESSOA-1]" not in said
        assert said.count("[") == said.count("]")
        assert len(words) >= len(before)
        before = words
    assert before == ['[PESSOA-12] tem asma, "leve" em [DATA-3: 2023-11-20].', "Veja e isto agora."]


@pytest.mark.parametrize("raw", ["", "{", "no JSON", '{"sentences": [', '{"sentences": [{"text": "', "[1, 2"])
def test_nothing_yet(raw: str) -> None:
    assert words_so_far(raw, GIVEN) == []


def test_first_words_come_at_once() -> None:
    assert words_so_far('{"reasons": [{"text": "Dor no pei', GIVEN) == ["Dor no"]


def begun(*sentences: Mapping[str, object]) -> str:
    """An answer that goes on."""
    return json.dumps({"sentences": sentences}, ensure_ascii=False)[:-2]


@pytest.mark.parametrize("text", ["[CPF-1] é o CPF.", "[PESSOA-3] tem asma.", "[PESSOA-12B] tem [CNS-1]."])
def test_a_sentence_that_names_whom_no_source_does_is_not_read_along(text: str) -> None:
    last: dict[str, object] = {"text": text}
    assert words_so_far(begun(last), GIVEN) in ([], [""])
    assert words_so_far(begun(last | {"sources": ["R1"]}, {"text": "Bem."}), GIVEN) == ["Bem."]


def test_once_a_sentence_has_its_sources_it_names_whom_they_do() -> None:
    told: dict[str, object] = {"text": "[PESSOA-2] tem asma.", "sources": ["R1"]}
    assert words_so_far(begun({"text": told["text"]}), GIVEN) == ["[PESSOA-2] tem asma."]
    assert words_so_far(begun(told, {"text": "Bem."}), GIVEN) == ["Bem."]
    assert words_so_far(begun(told | {"sources": ["r2"]}, {"text": "Bem."}), GIVEN)[0] == "[PESSOA-2] tem asma."


CANDIDATES = inputs(
    "CID10", sources=(), text="[PESSOA-1B] com pressão alta",
    candidates=(("I10", "Hipertensão essencial"), ("E11.9", "Diabetes mellitus")),
)  # fmt: skip


def test_a_reason_that_names_whom_the_text_does_not_is_not_read_along() -> None:
    raw = '{"suggestions": [{"code": "I10", "because": "O CPF é [CPF-1]."}, {"code": "E11.9", "because": "[PESSOA-1] pe'
    assert [each["because"] for each in codes_so_far(raw, CANDIDATES)] == ["", "[PESSOA-1B]"]


def test_a_reason_stands_beside_its_own_code() -> None:
    raw = (
        '{"suggestions": [{"code": "I10", "because": "https://evil.example/a"},'
        ' {"code": "E11.9", "because": "O texto fala em açú'
    )
    found = [(each["code"], each["because"]) for each in codes_so_far(raw, CANDIDATES)]
    assert found == [("I10", ""), ("E11.9", "O texto fala em")], "nothing is left of the first reason"


@pytest.mark.parametrize("code", ["[]", '{"I10": 1}', "10", "null", '"I1'])
def test_what_is_no_code_is_none(code: str) -> None:
    assert codes_so_far(f'{{"suggestions": [{{"because": "Pressão alta.", "code": {code}', CANDIDATES) == []
