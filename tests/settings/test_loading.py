"""Modules load without looking for garbage in between, and garbage is looked for again afterwards, whatever happens."""

from __future__ import annotations

import gc

import pytest

from loading import loading


@pytest.fixture(autouse=True)
def nothing_waits_to_be_collected() -> None:
    """What other tests left is not frozen along, and is complained about where it came from."""
    gc.collect()


def test_nothing_is_collected_while_modules_load_and_what_they_made_is_never_looked_through() -> None:
    before = gc.get_freeze_count()
    with loading():
        assert not gc.isenabled()
        made: list[list[int]] = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_who_loads_within_anothers_loading_leaves_collecting_to_them() -> None:
    with loading():
        with loading():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_module_that_does_not_load_stops_no_collecting() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()
