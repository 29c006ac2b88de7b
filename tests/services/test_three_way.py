"""The three-way merge: nobody's change is lost, nothing is guessed, and the sides are alike."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.three_way import merge

FIELDS = ("a", "b", "c")
VALUES = st.one_of(st.none(), st.integers(0, 2), st.sampled_from(["", "x"]))
CONTENT = st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES))
Content = dict[str, Any]


@given(CONTENT, CONTENT, CONTENT)
def test_every_field_is_merged_or_a_conflict_and_only_real_differences_are(
    base: Content, yours: Content, theirs: Content
) -> None:
    merged = merge(base, yours, theirs, FIELDS)
    assert set(merged.values) | set(merged.conflicts) == set(FIELDS)
    assert not set(merged.values) & set(merged.conflicts)
    for field in FIELDS:
        sides = (base[field], yours[field], theirs[field])
        if len(set(sides)) == 3:
            assert field in merged.conflicts
        elif yours[field] != base[field]:
            assert merged.values[field] == yours[field]
        else:
            assert merged.values[field] == theirs[field]


@given(CONTENT, CONTENT, CONTENT)
def test_it_does_not_matter_which_side_is_whose(base: Content, yours: Content, theirs: Content) -> None:
    assert merge(base, yours, theirs, FIELDS) == merge(base, theirs, yours, FIELDS)


@given(CONTENT, CONTENT)
def test_a_side_that_changed_nothing_gives_way(base: Content, theirs: Content) -> None:
    for untouched in (base, {}):
        merged = merge(base, untouched, theirs, FIELDS)
        assert (merged.values, merged.conflicts) == (theirs, ())


@given(CONTENT, CONTENT)
def test_without_a_base_every_difference_is_for_a_person(yours: Content, theirs: Content) -> None:
    merged = merge(None, yours, theirs, FIELDS)
    assert merged.conflicts == tuple(field for field in FIELDS if yours[field] != theirs[field])
    assert all(merged.values[field] == yours[field] for field in merged.values)


def test_fields_nobody_has_are_left_out() -> None:
    assert merge(None, {}, {}, FIELDS).values == {}
    assert merge({"a": 1}, {"a": 2}, {}, ["a"]).values == {"a": 2}
