"""Dates and times: what exists, what is possible, and what order two of them have."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from services.import_times import END_OF_TIME, TimeRefused, check_period, read_birth_date, read_moment
from tests.import_export.conftest import RULES

ZONE, NOW = RULES.zone, RULES.now


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1991-06-07T23:37:54+00:00", datetime(1991, 6, 7, 23, 37, 54, tzinfo=UTC)),
        ("2023-01-27T16:17:47Z", datetime(2023, 1, 27, 16, 17, 47, tzinfo=UTC)),
        ("1966-03-30T11:31:08-05:00", datetime(1966, 3, 30, 16, 31, 8, tzinfo=UTC)),
        ("2020-01-01T10:00:00.123456789-03:00", datetime(2020, 1, 1, 13, 0, 0, 123456, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2020-01-01T10:00", datetime(2020, 1, 1, 13, tzinfo=UTC)),
        ("2020-01-01", datetime(2020, 1, 1, 3, tzinfo=UTC)),
        ("2020-02", datetime(2020, 2, 1, 3, tzinfo=UTC)),
        ("2020", datetime(2020, 1, 1, 3, tzinfo=UTC)),
    ],
)
def test_moments_become_utc(text: str, expected: datetime) -> None:
    assert read_moment(text, ZONE, now=NOW).at == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is no date or time"),
        (None, "is no date or time"),
        (20200101, "is no date or time"),
        ("yesterday", "is no date or time"),
        ("２０２０-01-01", "is no date or time"),
        ("2020-13-01", "is no date or time that exists"),
        ("2021-02-29", "is no date or time that exists"),
        ("2020-01-01T25:00:00Z", "is no date or time that exists"),
        ("0000-01-01", "is no date or time that exists"),
        ("0001-01-01T00:00:00+14:00", "is no date or time that exists"),
        ("9999-12-31", "is no date or time that exists"),
        ("1849-12-31T00:00:00Z", "is before 1850"),
        ("2026-11-26T00:00:00Z", "lies in the future"),
    ],
)
def test_moments_that_cannot_be(value: object, reason: str) -> None:
    with pytest.raises(TimeRefused) as caught:
        read_moment(value, ZONE, now=NOW)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "born", "is_estimated"),
    [("1980-02-29", date(1980, 2, 29), False), ("1980-02", date(1980, 2, 1), True), ("1975", date(1975, 1, 1), True)],
)
def test_birth_dates(text: str, born: date, is_estimated: bool) -> None:
    assert read_birth_date(text, now=NOW) == (born, is_estimated)


@pytest.mark.parametrize("value", ["1980-02-30", "1980-02-29T10:00:00Z", "2027-01-01", "1849", None, "{{nascimento}}"])
def test_birth_dates_that_cannot_be(value: object) -> None:
    with pytest.raises(TimeRefused):
        read_birth_date(value, now=NOW)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2020-01-01T10:00:00Z", "2020-01-01T10:00:00Z"),
        ("2020-01-01T10:00:00Z", "2020-01-01"),
        ("2020-01-01T23:30:00-03:00", "2020-01-01"),
        ("2020-01-01", "2020-01-01"),
        ("2020-12", "2021-01-01T10:00:00Z"),
        ("2020", "2020"),
    ],
)
def test_periods_that_may_be(start: str, end: str) -> None:
    check_period(read_moment(start, ZONE, now=NOW), read_moment(end, ZONE, now=END_OF_TIME))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2020-01-01T10:00:00Z", "2020-01-01T09:59:59Z"),
        ("2020-01-02", "2020-01-01"),
        ("2020-01-02T10:00:00Z", "2020-01-01"),
        ("2023-06-21", "2023-06-21T06:20:00Z"),
        ("2020", "2020-05-01T00:00:00Z"),
    ],
)
def test_inverted_or_undecidable_periods(start: str, end: str) -> None:
    with pytest.raises(TimeRefused):
        check_period(read_moment(start, ZONE, now=NOW), read_moment(end, ZONE, now=END_OF_TIME))
