"""The three-way merge by property: nobody's change is lost, nothing is guessed, and the sides are alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.three_way import MergedField, Outcome, merge

VALUES = st.sampled_from([None, "", "a", "b", "c", ["I10"], ["I10", "E11"], True, False])
NAMES = ("title", "notes", "cid10Codes")
CONTENT = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))


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


@given(base=CONTENT, theirs=CONTENT)
def test_a_side_that_leaves_fields_out_changed_none(base: Any, theirs: Any) -> None:
    fields = merge(base, {}, theirs, NAMES)
    assert {field.outcome for field in fields} <= {Outcome.THEIRS}
    assert base | {field.name: field.merged for field in fields} == theirs


@given(mine=CONTENT, theirs=CONTENT)
def test_without_a_base_every_difference_is_for_a_person(mine: Any, theirs: Any) -> None:
    outcomes = {field.name: field.outcome for field in merge(None, mine, theirs, NAMES)}
    for name in NAMES:
        assert outcomes[name] is (Outcome.AGREED if mine[name] == theirs[name] else Outcome.CONFLICT)


def test_fields_nobody_has_are_left_out() -> None:
    assert merge(None, {}, {}, NAMES) == []
    assert [field.merged for field in merge({"title": 1}, {"title": 2}, {}, ["title"])] == [2]
