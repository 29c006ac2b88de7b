"""The three-way merge of fields, by property; and which words of an edit are whose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.draft_words import own_words
from services.record_merge import MergedField, Outcome, merge
from services.text_diff import diff

VALUES = st.sampled_from([None, "", "a", "b", "c", ["I10"], ["I10", "E11"], True, False])
CONTENT = st.fixed_dictionaries(dict.fromkeys(("title", "notes", "cid10Codes"), VALUES))
NAMES = ("title", "notes", "cid10Codes")
WORDS = st.lists(st.sampled_from(["dor", "febre", "tosse", "nega", "alergia", "PA", "."]), max_size=12).map(" ".join)


def decided(field: MergedField, choice: Any) -> Any:
    return choice if field.outcome is Outcome.CONFLICT else field.merged


@given(base=CONTENT, mine=CONTENT, theirs=CONTENT)
def test_a_merge_takes_every_change_and_invents_none(base: Any, mine: Any, theirs: Any) -> None:
    fields = {field.name: field for field in merge(base, mine, theirs, NAMES)}
    for name in NAMES:
        changed_by = {side for side, value in (("mine", mine[name]), ("theirs", theirs[name])) if value != base[name]}
        if not changed_by:
            assert name not in fields
        elif changed_by == {"mine"}:
            assert fields[name].merged == mine[name]
        elif changed_by == {"theirs"}:
            assert fields[name].merged == theirs[name]
        elif mine[name] == theirs[name]:
            assert fields[name].merged == mine[name]
        else:
            assert fields[name].outcome is Outcome.CONFLICT
            with pytest.raises(ValueError, match=name):
                _ = fields[name].merged


@given(base=CONTENT, mine=CONTENT, theirs=CONTENT)
def test_merging_is_symmetric(base: Any, mine: Any, theirs: Any) -> None:
    one, other = merge(base, mine, theirs, NAMES), merge(base, theirs, mine, NAMES)
    mirrored = {Outcome.MINE: Outcome.THEIRS, Outcome.THEIRS: Outcome.MINE}
    assert [mirrored.get(field.outcome, field.outcome) for field in one] == [field.outcome for field in other]
    assert [decided(field, "?") for field in one] == [decided(field, "?") for field in other]


@given(base=CONTENT, mine=CONTENT)
def test_merging_with_nobody_is_ones_own_edit(base: Any, mine: Any) -> None:
    assert base | {field.name: field.merged for field in merge(base, mine, base, NAMES)} == mine
    assert merge(base, base, base, NAMES) == []


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
