"""The demo clinic before it reaches a database: its calendar, its people, its texts."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from validate_docbr import CNS, CPF

from models.patient import SEVERITIES, SEXES
from models.record import KINDS, PRIORITIES
from services.demo_calendar import ClinicCalendar, easter, is_open, weight_of
from services.demo_conditions import all_conditions, vital_signs
from services.demo_people import Population, cns, cpf, past_id, people
from services.demo_staff import STAFF, team_of
from services.demo_year import Year, YearMaker
from services.field_encryption import FieldCipher
from services.restriction import CID10

ZONE = ZoneInfo("America/Sao_Paulo")
AFTERNOON = datetime(2026, 3, 11, 18, 30, tzinfo=UTC)  # a Wednesday, 15:30 in São Paulo
CIPHER = FieldCipher(b"k" * 32)


def make_year(
    number: int, now: datetime = AFTERNOON, *, patients: int = 40, records: int = 300
) -> tuple[list[str], Year]:
    rng = random.Random(number)
    calendar = ClinicCalendar(rng, now, ZONE)
    population = Population(rng, calendar, CIPHER, lambda: b"\0" * 32)
    persons = [population.person() for _ in range(patients - 1)] + [population.unidentified()]
    team = team_of({member.key: uuid.uuid5(uuid.NAMESPACE_DNS, member.key) for member in STAFF})
    return [person.patient.full_name for person in persons], YearMaker(rng, calendar, team, persons).make(records)


def texts(year: Year) -> list[tuple[object, ...]]:
    visits = [(v.id, v.arrived_at, v.reason, v.status) for v in year.visits]
    return visits + [(r.id, r.created_at, r.author_id, r.title, r.notes, r.restricted) for r in year.records]


def test_the_same_number_makes_the_same_clinic_and_another_another() -> None:
    names, year = make_year(1)
    again, same = make_year(1)
    others, different = make_year(2)
    assert names == again
    assert texts(year) == texts(same)
    assert names != others
    assert texts(year) != texts(different)


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 3, 11, 5, 0, tzinfo=UTC),  # night
        datetime(2026, 3, 11, 11, 1, tzinfo=UTC),  # 08:01
        datetime(2026, 3, 11, 11, 12, tzinfo=UTC),  # 08:12
        datetime(2026, 3, 14, 15, 0, tzinfo=UTC),  # a Saturday
        datetime(2026, 2, 17, 15, 0, tzinfo=UTC),  # Carnival Tuesday
        datetime(2026, 12, 25, 23, 59, tzinfo=UTC),
        datetime(2024, 2, 29, 20, 55, tzinfo=UTC),
    ],
)
def test_at_any_moment_records_lie_in_working_hours_and_the_past(now: datetime) -> None:
    _, year = make_year(3, now)
    assert len(year.records) == 300
    for record in year.records:
        local = record.created_at.astimezone(ZONE)
        assert is_open(local.date())
        assert 8 <= local.hour < 18
        assert record.created_at <= now
    assert {visit.status for visit in year.visits} >= {"DONE", "WAITING", "IN_CARE"}
    assert all(visit.arrived_at <= now for visit in year.visits)
    assert all(visit.closed_at is None or visit.arrived_at <= visit.closed_at <= now for visit in year.visits)


@pytest.mark.parametrize("number", range(8))
def test_any_number_makes_a_whole_year(number: int) -> None:
    _, year = make_year(number, patients=25, records=120)
    opened = Counter(visit.patient_id for visit in year.visits if visit.closed_at is None)
    assert max(opened.values()) == 1
    current = Counter((member.patient_id, member.user_id) for member in year.members)
    assert max(current.values()) == 1
    assert all(record.kind in KINDS and record.priority in PRIORITIES for record in year.records)
    assert all((record.kind == "ADDENDUM") == (record.amends_id is not None) for record in year.records)


def test_a_record_is_open_for_everybody_in_care() -> None:
    _, year = make_year(4)
    in_care = {visit.id: visit for visit in year.visits if visit.status == "IN_CARE"}
    opened = {
        record.visit_id: record for record in year.records if record.visit_id in in_care and record.kind != "TRIAGE"
    }
    assert set(opened) == set(in_care)
    for visit_id, record in opened.items():
        assert (record.title, record.author_id) == (in_care[visit_id].reason, in_care[visit_id].doctor_id)
        assert record.closes_at > AFTERNOON


def test_easter_and_what_hangs_on_it() -> None:
    assert [easter(year) for year in (2024, 2025, 2026, 2038)] == [
        date(2024, 3, 31), date(2025, 4, 20), date(2026, 4, 5), date(2038, 4, 25),
    ]  # fmt: skip
    assert not is_open(date(2026, 2, 16))  # Carnival Monday
    assert not is_open(date(2026, 4, 3))  # Good Friday
    assert not is_open(date(2026, 6, 4))  # Corpus Christi
    assert is_open(date(2026, 4, 6))


def test_the_rhythm_of_a_year() -> None:
    calendar = ClinicCalendar(random.Random(5), AFTERNOON, ZONE)
    drawn = Counter(calendar.day() for _ in range(20_000))
    assert drawn[min(drawn)] > 0
    weekdays = Counter[int]()
    for day, count in drawn.items():
        weekdays[day.weekday()] += count
    assert weekdays[0] > weekdays[2] > weekdays[4]
    assert weekdays[5] == weekdays[6] == 0
    assert weight_of(date(2026, 1, 14)) < weight_of(date(2026, 3, 11))
    since = calendar.today - timedelta(days=10)
    assert all(calendar.day(since=since) >= since for _ in range(200))
    hours = Counter(calendar.local(calendar.moment(date(2025, 9, 10))).hour for _ in range(3000))
    assert hours[10] > hours[12]
    assert set(hours) == set(range(8, 18))


def test_a_day_of_returns_is_a_working_one_and_not_to_come() -> None:
    calendar = ClinicCalendar(random.Random(5), AFTERNOON, ZONE)
    assert calendar.near(date(2026, 2, 14)) == date(2026, 2, 19)  # over Carnival, to the Thursday
    assert calendar.near(date(2026, 3, 12)) is None


def test_numbers_have_valid_check_digits() -> None:
    rng = random.Random(11)
    assert all(CPF().validate(cpf(rng)) for _ in range(500))
    assert all(CNS().validate(cns(rng)) for _ in range(500))


def test_ids_are_uuid7_of_their_moment() -> None:
    made = past_id(random.Random(1), AFTERNOON)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(AFTERNOON.timestamp() * 1000)
    assert past_id(random.Random(2), AFTERNOON + timedelta(seconds=1)) > made


def test_the_tables_are_sound() -> None:
    rng = random.Random(1)
    conditions = all_conditions()
    assert len({each.code for each in conditions}) == len(conditions) > 60
    for each in conditions:
        assert CID10.match(each.code)
        assert each.priority in PRIORITIES
        assert each.kind in KINDS
        assert each.ages[0] <= each.ages[1]
        assert all(1 <= len(complaint) <= 180 for complaint in each.complaints)
        signs = vital_signs(rng, each, 40, 70.0, is_return=False)
        extras = [extra.notes for extra in (each.exam, each.procedure) if extra]
        for note in (*each.notes, *each.returns, *extras):
            assert "{" not in note.format_map(signs)
    for age in range(98):
        for sex in SEXES:
            assert any(not each.chronic and each.fits(age, sex) for each in conditions), (age, sex)
    assert all(severity is None or severity in SEVERITIES for _, _, severity in people()["allergens"])
    assert all(sex in SEXES for _, sex, _ in people()["unidentified"])


def test_a_name_goes_with_the_age_of_its_bearer() -> None:
    calendar = ClinicCalendar(random.Random(5), AFTERNOON, ZONE)
    population = Population(random.Random(5), calendar, CIPHER, lambda: b"\0" * 32)
    old = [population.person(sex="FEMALE", ages=(80, 90)).patient for _ in range(20)]
    assert all(patient.full_name.startswith(tuple(people()["given"]["FEMALE"]["old"])) for patient in old)
    assert all(patient.birth_date is not None and 80 <= 2026 - patient.birth_date.year <= 91 for patient in old)
