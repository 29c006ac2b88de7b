"""An answer is read along from its first words, never with half a pseudonym or a link that is only beginning."""

from __future__ import annotations

import json

import pytest

from services.ai_prompts.so_far import codes_so_far, words_so_far

WHOLE = json.dumps(
    {
        "sentences": [
            {"text": "[PESSOA-12] tem asma, \"leve\" em [DATA-3: 2023-11-20].", "sources": ["R1"]},
            {"text": "Veja ![x](https://evil.example/a) e [isto](https://evil.example/b) agora.", "sources": ["R2"]},
        ]
    },
    ensure_ascii=False,
)


def test_at_every_moment_it_is_plain_words_of_the_answer() -> None:
    before: list[str] = []
    for end in range(len(WHOLE) + 1):
        words = words_so_far(WHOLE[:end])
        said = " ".join(words)
        assert "://" not in said and "evil" not in said and "<" not in said
        assert "[PESSOA-1]" not in said
        assert said.count("[") == said.count("]")
        assert len(words) >= len(before)
        before = words
    assert before == ['[PESSOA-12] tem asma, "leve" em [DATA-3: 2023-11-20].', "Veja e isto agora."]


@pytest.mark.parametrize("raw", ["", "{", "no JSON", '{"sentences": [', '{"sentences": [{"text": "', "[1, 2"])
def test_nothing_yet(raw: str) -> None:
    assert words_so_far(raw) == []


def test_first_words_come_at_once() -> None:
    assert words_so_far('{"reasons": [{"text": "Dor no pei') == ["Dor no"]


CANDIDATES = [("I10", "Hipertensão essencial"), ("E11.9", "Diabetes mellitus")]


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
