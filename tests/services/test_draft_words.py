"""Which words of an edit are whose, by property."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.draft_words import own_words
from services.text_diff import diff

WORDS = st.lists(st.sampled_from(["dor", "febre", "tosse", "nega", "alergia", "PA", "."]), max_size=12).map(" ".join)


@given(before=WORDS, after=WORDS)
def test_own_words_are_none_of_the_bases_passages(before: str, after: str) -> None:
    own = own_words({"notes": before}, {"notes": after}).get("notes", "")
    for passage in own.split(" … ") if own else []:
        assert passage in after
        assert passage not in before


@given(before=WORDS, added=st.text(alphabet="xyz", min_size=3, max_size=9), after=WORDS)
def test_an_inserted_word_is_ones_own(before: str, added: str, after: str) -> None:
    base = f"{before} {after}"
    assert added in own_words({"notes": base}, {"notes": f"{before} {added} {after}"})["notes"]


@given(before=WORDS, after=WORDS)
def test_a_diff_gives_both_texts_back(before: str, after: str) -> None:
    parts = diff(before, after)
    assert "".join(text for kind, text in parts if kind != "added") == before
    assert "".join(text for kind, text in parts if kind != "removed") == after


def test_text_moved_from_another_field_is_not_ones_own() -> None:
    base = {"diagnosis": "Hipertensão essencial", "notes": ""}
    assert own_words(base, {"notes": "Hipertensão essencial"}) == {}
    assert own_words(base, {"cid10Codes": "I10", "priority": "HIGH"}) == {"cid10Codes": "I10", "priority": "HIGH"}
