"""Windows and nights: what counts together, at the edges, and what an alert has covered already."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.access_bursts import Burst, Fact, Night, Window

START = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
THINGS = [uuid.UUID(int=number) for number in range(20)]
HOUR = Window(timedelta(hours=1))
SAO_PAULO = ZoneInfo("America/Sao_Paulo")  # UTC-3


def fact(minutes: float, thing: int = 0) -> Fact:
    return Fact(START + timedelta(minutes=minutes), int(minutes * 60) + 1, THINGS[thing], "DOCTOR", THINGS[thing])


def spans(bursts: list[Burst]) -> list[tuple[float, int]]:
    """(minutes after START of the first fact, count) of each."""
    return [((burst.facts[0].at - START).total_seconds() / 60, burst.count) for burst in bursts]


def test_a_window_counts_at_its_threshold_and_not_one_below() -> None:
    facts = [fact(number, number) for number in range(5)]
    assert spans(HOUR.bursts(facts, 5)) == [(0, 5)]
    assert HOUR.bursts(facts, 6) == []


def test_the_same_thing_counts_once() -> None:
    assert HOUR.bursts([fact(number, number % 2) for number in range(10)], 3) == []


@pytest.mark.parametrize(("last", "found"), [(60, [(0, 2)]), (60.001, [])])
def test_both_ends_of_a_window_belong_to_it(last: float, found: list[tuple[float, int]]) -> None:
    assert spans(HOUR.bursts([fact(0, 0), fact(last, 1)], 2)) == found


def test_a_window_slides_and_is_not_bound_to_the_clock() -> None:
    facts = [fact(0, 0), fact(50, 1), fact(70, 2), fact(90, 3)]
    assert spans(HOUR.bursts(facts, 3)) == [(50, 3)]


def test_what_goes_on_within_the_window_is_the_same_burst_and_later_another() -> None:
    facts = [fact(number, number % 20) for number in range(0, 130, 5)]
    assert [first for first, _ in spans(HOUR.bursts(facts, 3))] == [0, 65]


@pytest.mark.parametrize(
    ("clock", "evening"),
    [
        ("2026-11-24T21:59:59.999999", None), ("2026-11-24T22:00:00", "2026-11-24"),
        ("2026-11-24T23:59:59", "2026-11-24"),
        ("2026-11-25T00:00:00", "2026-11-24"), ("2026-11-25T05:59:59.999999", "2026-11-24"),
        ("2026-11-25T06:00:00", None),
        ("2026-11-25T12:00:00", None),
    ],
)  # fmt: skip
def test_a_night_goes_across_midnight_by_the_clinics_clock(clock: str, evening: str | None) -> None:
    night = Night(22, 6, SAO_PAULO)
    at = datetime.fromisoformat(clock).replace(tzinfo=SAO_PAULO).astimezone(UTC)
    bursts = night.bursts([Fact(at, 1, THINGS[0], "DOCTOR")], 1)
    ends = [burst.ends_at.astimezone(SAO_PAULO).isoformat() for burst in bursts]
    assert ends == ([] if evening is None else ["2026-11-25T05:59:59.999999-03:00"])


def test_a_night_before_dawn_alone_and_one_until_midnight() -> None:
    at = [datetime(2026, 11, 24, hour, 30, tzinfo=SAO_PAULO) for hour in (0, 4, 5, 20, 23)]
    facts = [Fact(each, number, THINGS[number], "NURSE") for number, each in enumerate(at)]
    assert [burst.count for burst in Night(0, 5, SAO_PAULO).bursts(facts, 2)] == [2]
    assert [burst.count for burst in Night(20, 24, SAO_PAULO).bursts(facts, 2)] == [2]


def test_two_nights_are_not_counted_together() -> None:
    at = [datetime(2026, 11, 24, 23, tzinfo=SAO_PAULO), datetime(2026, 11, 25, 23, tzinfo=SAO_PAULO)]
    facts = [Fact(each, number, THINGS[number], "NURSE") for number, each in enumerate(at)]
    night = Night(22, 6, SAO_PAULO)
    assert night.bursts(facts, 2) == []
    assert len(night.bursts(facts, 1)) == 2


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 19)), max_size=40), st.integers(1, 6), st.integers(0, 40))
def test_looking_again_after_every_stretch_finds_what_one_look_finds(
    given_facts: list[tuple[int, int]], threshold: int, cut: int
) -> None:
    """Whatever was found stays found, and is found once: an alert covers its facts at the next look."""
    facts = [fact(minutes, thing) for minutes, thing in sorted(given_facts)]
    whole = HOUR.bursts(facts, threshold)
    first = HOUR.bursts(facts[:cut], threshold)
    free = [each for each in facts if not any(burst.facts[0].at <= each.at <= burst.ends_at for burst in first)]
    second = HOUR.bursts(free, threshold)
    starts = [burst.facts[0].at for burst in (*first, *second)]
    assert starts == [burst.facts[0].at for burst in whole]
