"""Grandfather, father, son, for every history that hypothesis thinks of."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from backups.retention import Kept, Policy, locked_until, to_delete

CLINIC = ZoneInfo("America/Sao_Paulo")
SEVEN = Policy(7, 4, 12)
NOW = datetime(2026, 12, 31, tzinfo=UTC)  # not before any history's end
histories = st.lists(
    st.builds(
        Kept,
        id=st.uuids(),
        finished_at=st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
        is_verified=st.booleans(),
        is_found=st.booleans(),
    ),
    max_size=60,
    unique_by=lambda each: each.id,
)
policies = st.builds(Policy, daily=st.integers(1, 10), weekly=st.integers(0, 6), monthly=st.integers(0, 14))


def left(history: list[Kept], policy: Policy) -> list[Kept]:
    gone = to_delete(history, policy, CLINIC, NOW)
    return [each for each in history if each.id not in gone]


@given(history=histories, policy=policies)
def test_the_newest_verified_one_stays_whatever_else_there_is(history: list[Kept], policy: Policy) -> None:
    verified = [each for each in history if each.is_verified]
    if verified:
        assert max(verified, key=lambda each: (each.finished_at, each.id)) in left(history, policy)
    else:
        assert left(history, policy) == history, "nothing goes while nothing counts"


@given(history=histories, policy=policies)
def test_of_the_verified_ones_no_more_stay_than_there_are_days_weeks_and_months(
    history: list[Kept], policy: Policy
) -> None:
    kept = [each for each in left(history, policy) if each.is_verified]
    assert len(kept) <= max(policy.daily + policy.weekly + policy.monthly, 1)


@given(history=histories, policy=policies)
def test_what_is_not_verified_displaces_nothing_that_is(history: list[Kept], policy: Policy) -> None:
    counted = [each for each in history if each.is_verified]
    assert [each for each in left(history, policy) if each.is_verified] == left(counted, policy)


@given(history=histories, policy=policies)
def test_one_found_after_a_restore_keeps_its_day_week_and_month_until_a_verified_one_takes_it(
    history: list[Kept], policy: Policy
) -> None:
    counted = [each for each in history if each.is_verified or each.is_found]
    stay = {each.id for each in left(history, policy)}
    for period, count in (("%Y-%m-%d", policy.daily), ("%G-%V", policy.weekly), ("%Y-%m", policy.monthly)):
        named = {each.id: each.finished_at.astimezone(CLINIC).strftime(period) for each in counted}
        for name in sorted(set(named.values()), reverse=True)[:count]:
            of_it = [each for each in counted if named[each.id] == name]
            best = max(of_it, key=lambda each: (each.is_verified, each.finished_at, each.id))
            assert best.id in stay


@given(history=histories, policy=policies)
def test_of_those_found_no_more_stay_for_long_than_there_are_days_weeks_and_months(
    history: list[Kept], policy: Policy
) -> None:
    verified = [each.finished_at for each in left(history, policy) if each.is_verified]
    if verified:
        old = [e for e in left(history, policy) if not e.is_verified and e.finished_at < min(verified)]
        assert len(old) <= policy.daily + policy.weekly + policy.monthly
        assert all(each.is_found for each in old)


@given(history=histories, policy=policies)
def test_deleting_twice_deletes_nothing_more(history: list[Kept], policy: Policy) -> None:
    once = left(history, policy)
    assert left(once, policy) == once


@given(history=histories, policy=policies)
def test_each_of_the_last_days_that_have_one_keeps_its_newest(history: list[Kept], policy: Policy) -> None:
    kept = left(history, policy)
    days = {each.finished_at.astimezone(CLINIC).date() for each in history if each.is_verified}
    for day in sorted(days, reverse=True)[: policy.daily]:
        on_it = [e for e in history if e.is_verified and e.finished_at.astimezone(CLINIC).date() == day]
        assert max(on_it, key=lambda each: (each.finished_at, each.id)) in kept


def test_two_years_of_nights_leave_seven_days_four_weeks_and_twelve_months() -> None:
    last = datetime(2026, 11, 26, 5, 4, tzinfo=UTC)
    nights = [Kept(uuid.UUID(int=number), last - timedelta(days=number), True) for number in range(730)]
    days = sorted({each.finished_at.astimezone(CLINIC).date() for each in left(nights, SEVEN)}, reverse=True)
    assert [day.isoformat() for day in days[:7]] == [f"2026-11-{day}" for day in range(26, 19, -1)]
    assert [day.isoformat() for day in days[7:]] == [
        "2026-11-15", "2026-11-08", "2026-10-31", "2026-09-30", "2026-08-31", "2026-07-31", "2026-06-30", "2026-05-31",
        "2026-04-30", "2026-03-31", "2026-02-28", "2026-01-31", "2025-12-31",
    ]  # fmt: skip


def test_a_year_found_after_a_restore_is_not_gone_after_a_week() -> None:
    last = datetime(2026, 11, 26, 5, 4, tzinfo=UTC)
    nights = [
        Kept(uuid.UUID(int=number), last - timedelta(days=number), number < 7, number >= 7) for number in range(400)
    ]
    days = sorted({each.finished_at.astimezone(CLINIC).date() for each in left(nights, SEVEN)}, reverse=True)
    assert [day.isoformat() for day in days[7:]] == [
        "2026-11-15", "2026-11-08", "2026-10-31", "2026-09-30", "2026-08-31", "2026-07-31", "2026-06-30", "2026-05-31",
        "2026-04-30", "2026-03-31", "2026-02-28", "2026-01-31", "2025-12-31",
    ]  # fmt: skip


def test_a_night_at_two_belongs_to_the_day_of_the_clinic() -> None:
    evening = Kept(uuid.uuid4(), datetime(2026, 11, 26, 1, 0, tzinfo=UTC), True)  # 22:00 of the 25th there
    night = Kept(uuid.uuid4(), datetime(2026, 11, 26, 5, 0, tzinfo=UTC), True)
    assert to_delete([evening, night], Policy(2, 0, 0), CLINIC, NOW) == set()


@given(history=histories, policy=policies)
def test_nothing_is_locked_for_longer_than_it_is_kept(history: list[Kept], policy: Policy) -> None:
    """However many backups come until then: a lock that outlives retention costs a bucket for nothing."""
    locks = locked_until(history, policy, CLINIC, NOW)
    for backup_id, until in locks.items():
        days = range(max(0, (until - NOW).days))
        later = [Kept(uuid.uuid4(), NOW + timedelta(days=day + 0.5), is_verified=True) for day in days]
        assert backup_id not in to_delete([*history, *later], policy, CLINIC, until)


def test_a_month_that_is_over_is_locked_for_a_year_and_a_week_for_four() -> None:
    days = [datetime(2026, month, day, 5, tzinfo=UTC) for month in (10, 11) for day in range(1, 31)]
    every = {at: Kept(uuid.uuid4(), at, is_verified=True) for at in days}
    now = days[-1] + timedelta(hours=1)  # a Monday, the last of November
    locks = locked_until(every.values(), SEVEN, CLINIC, now)
    until = {at: locks[each.id] for at, each in every.items() if each.id in locks}
    by_day = {at.date().isoformat(): last.date().isoformat() for at, last in until.items()}
    assert by_day == {
        "2026-10-30": "2027-10-01",  # of October, kept until the twelfth month after it begins
        "2026-11-15": "2026-12-07", "2026-11-22": "2026-12-14", "2026-11-29": "2026-12-21",
    }  # fmt: skip
    wrong = Kept(uuid.uuid4(), now + timedelta(days=400), is_verified=True)
    assert locked_until([*every.values(), wrong], SEVEN, CLINIC, now) == locks, "a wrong clock locks nothing for years"


of_a_wrong_clock = st.lists(
    st.builds(
        Kept,
        id=st.uuids(),
        finished_at=st.datetimes(datetime(2027, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        is_verified=st.booleans(),
        head=st.integers(0, 20),
    ),
    max_size=8,
    unique_by=lambda each: each.id,
)


@given(history=histories, future=of_a_wrong_clock, policy=policies)
def test_those_of_the_future_take_nobodys_place_and_do_not_stay_for_ever(
    history: list[Kept], future: list[Kept], policy: Policy
) -> None:
    assume(not {each.id for each in history} & {each.id for each in future})
    present = [replace(each, head=10) for each in history]
    gone = to_delete([*present, *future], policy, CLINIC, NOW)
    assert gone - {each.id for each in future} == to_delete(present, policy, CLINIC, NOW)
    newer = sum(each.is_verified for each in present)
    for each in future:
        assert (each.id in gone) == (each.head < 10 and newer >= policy.daily), "the trail tells which is newer"
    late = max((each.finished_at for each in future), default=NOW)
    assert to_delete(future, policy, CLINIC, late) == left_out(future, policy, late), "its time comes, and it counts"


def left_out(history: list[Kept], policy: Policy, now: datetime) -> set[uuid.UUID]:
    return to_delete([replace(each, head=0) for each in history], policy, CLINIC, now)
