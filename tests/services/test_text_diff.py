"""Diffs lose nothing and never take long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.draft_words import own_words
from services.text_diff import PAIRS_MAX, diff, is_comparable

TEXTS = st.text(alphabet="ab é\n.", max_size=60)


@given(TEXTS, TEXTS)
def test_the_parts_give_both_texts_back(before: str, after: str) -> None:
    parts = diff(before, after)
    assert "".join(text for kind, text in parts if kind != "added") == before
    assert "".join(text for kind, text in parts if kind != "removed") == after


def test_changed_words_stay_in_one_piece() -> None:
    assert diff("Losartana 50 mg cedo", "Losartana 100 mg à noite") == [
        ("same", "Losartana "), ("removed", "50"), ("added", "100"), ("same", " mg "), ("removed", "cedo"),
        ("added", "à noite"),
    ]  # fmt: skip


@pytest.mark.parametrize("unit", ["x\n", "x ", "xy\n\n"])
def test_long_texts_are_bounded(unit: str) -> None:
    """What one person types must not keep the clinic waiting: as long as a record's field may be, all lines alike."""
    before = unit * (20_000 // len(unit))
    after = "y " + before[:-9] + "z"
    started = time.process_time()
    parts = diff(before, after)
    assert time.process_time() - started < 5, "unbounded, this takes minutes"
    assert "".join(text for kind, text in parts if kind != "removed") == after


def test_of_what_can_not_be_compared_no_word_is_called_ones_own() -> None:
    base = "\n".join(f"segredo {number}" for number in range(2_000))
    mine = "\n".join(f"outro {number}" for number in range(2_000))
    assert not is_comparable(base, mine) and PAIRS_MAX < 2_000**2
    assert own_words({"notes": base}, {"notes": mine}) == {}
