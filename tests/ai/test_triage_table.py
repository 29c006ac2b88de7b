"""The limits of vital signs are those of the sources that they name.

The table below is chart 1 of National Early Warning Score (NEWS) 2, Royal College of Physicians, London 2017, SpO2 by
scale 1, written down here on its own: consciousness and oxygen are not asked for at triage.
"""

from __future__ import annotations

import pytest

from services.ai_prompts import triage_table
from services.ai_prompts.triage_table import ADULT, ANY_AGE, INFANT, alarming, news2

INF = float("inf")
# Sign → (from, to, points), both included, in the steps in which it is measured.
CHART = {
    "respiratory_rate": ((-INF, 8, 3), (9, 11, 1), (12, 20, 0), (21, 24, 2), (25, INF, 3)),
    "oxygen_saturation": ((-INF, 91, 3), (92, 93, 2), (94, 95, 1), (96, INF, 0)),
    "systolic": ((-INF, 90, 3), (91, 100, 2), (101, 110, 1), (111, 219, 0), (220, INF, 3)),
    "heart_rate": ((-INF, 40, 3), (41, 50, 1), (51, 90, 0), (91, 110, 1), (111, 130, 2), (131, INF, 3)),
    "temperature": ((-INF, 35.0, 3), (35.1, 36.0, 1), (36.1, 38.0, 0), (38.1, 39.0, 1), (39.1, INF, 2)),
}
RANGES = [(sign, low, high, points) for sign, row in CHART.items() for low, high, points in row]


@pytest.mark.parametrize(("sign", "low", "high", "points"), RANGES)
def test_points_are_those_of_the_chart_at_both_ends_of_each_range(
    sign: str, low: float, high: float, points: int
) -> None:
    for value in (low, high):
        if abs(value) != INF:
            assert news2({sign: value}, 40) == points, value
    assert news2({sign: low if abs(low) != INF else high}, 15) == 0, "it was not made for the young"


def test_points_add_up_and_nothing_else_does() -> None:
    signs = {"respiratory_rate": 22.0, "oxygen_saturation": 95.0, "systolic": 105.0, "heart_rate": 95.0}
    assert news2(signs | {"temperature": 38.5, "glucose": 40.0, "pain": 10.0}, 40) == 2 + 1 + 1 + 1 + 1
    assert set(triage_table.NEWS2) == set(CHART)
    assert (triage_table.URGENT_SUM, triage_table.EMERGENCY_SUM) == (5, 7)


@pytest.mark.parametrize(("sign", "low", "high", "points"), [each for each in RANGES if each[3] == 3])
def test_what_scores_three_by_itself_is_urgent(sign: str, low: float, high: float, points: int) -> None:
    value = high if abs(low) == INF else low
    assert [level for level, found, _ in alarming({sign: value}, 40) if found == sign] in (["HIGH"], ["CRITICAL"])


@pytest.mark.parametrize(("sign", "low", "high", "points"), [each for each in RANGES if each[3] == 0])
def test_what_scores_nothing_is_calm_but_for_a_crisis_of_pressure(
    sign: str, low: float, high: float, points: int
) -> None:
    calm = [value for value in (low, high) if abs(value) != INF and (sign, value) != ("systolic", 219)]
    assert all(alarming({sign: value}, 40) == [] for value in calm)


@pytest.mark.parametrize(
    ("sign", "value", "age", "expected"),
    [
        ("systolic", 179, 40, None), ("systolic", 180, 40, ("HIGH", "DBHA")), ("diastolic", 119, 40, None),
        ("diastolic", 120, 40, ("HIGH", "DBHA")), ("glucose", 70, 40, None), ("glucose", 69, 40, ("HIGH", "ADA")),
        ("glucose", 54, 40, ("HIGH", "ADA")), ("glucose", 53, 40, ("CRITICAL", "ADA")),
        ("glucose", 300, 40, ("HIGH", "margem própria")), ("pain", 7, 40, None),
        ("pain", 8, 40, ("HIGH", "Manchester")),
        ("temperature", 37.9, 0, None), ("temperature", 38.0, 0, ("HIGH", "NICE")), ("temperature", 38.0, 1, None),
        ("heart_rate", 131, 40, ("HIGH", "NEWS2")), ("heart_rate", 150, 40, ("CRITICAL", "margem própria")),
        ("heart_rate", 150, 5, None), ("oxygen_saturation", 91, 5, ("HIGH", "NEWS2")),
        ("oxygen_saturation", 84, 5, ("CRITICAL", "margem própria")),
    ],
)  # fmt: skip
def test_limits_and_the_sources_that_they_name(
    sign: str, value: float, age: int, expected: tuple[str, str] | None
) -> None:
    assert alarming({sign: value}, age) == ([] if expected is None else [(expected[0], sign, expected[1])])


def test_every_limit_names_its_source_and_the_most_urgent_comes_first() -> None:
    limits = [each for table in (ANY_AGE, ADULT, INFANT) for each in table.values()]
    known = {"NEWS2", "DBHA", "ADA", "Manchester", "NICE", "margem própria"}
    assert {limit.source for row in limits for limit in row} == known
    for row in limits:
        levels = [limit.level for limit in row]
        assert levels == sorted(levels), "CRITICAL stands before HIGH, of which the first that fits counts"
