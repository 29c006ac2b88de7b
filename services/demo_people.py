"""The people of a demo clinic: made-up Brazilians with valid check digits and nobody's real number or address.

Names follow their bearer's generation; surnames are the mother's and the father's. A few have a social name,
came from elsewhere with a passport, share their name with somebody (so that the homonym warning has something to
warn of), or were brought in by an ambulance and are not identified at all.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import orjson
from faker import Faker

from models import Patient
from models.text import fold
from services.age import age_on
from services.demo_calendar import RECEPTION_OPENS, ClinicCalendar
from services.demo_conditions import DATA, Condition, all_conditions
from services.field_encryption import FieldCipher
from services.import_patient_rows import seal

# First age of each band and its share of patients: an outpatient clinic sees more of the young and of the old.
AGE_BANDS = ((0, 7), (5, 9), (15, 11), (25, 20), (40, 20), (55, 14), (65, 11), (75, 6), (85, 2))
OLDEST = 97
OLD, YOUNG = 60, 25
FEMALE_SHARE = 0.56
ADULT = 18
STREETS = ("Rua", "Rua", "Rua", "Avenida", "Travessa")
BRAZILIAN = "Brasileira"
LONGEST_HISTORY = 3 * 52  # weeks that somebody may have been a patient before the year began


@dataclass
class Person:
    """A patient to be, with what the clinic's year is made from. ``weight`` in kg."""

    patient: Patient
    audit_key: bytes
    age: int
    weight: float
    chronic: list[Condition] = field(default_factory=list)
    is_identified: bool = True

    @property
    def id(self) -> uuid.UUID:
        return self.patient.id

    @property
    def sex(self) -> str:
        return self.patient.sex


def past_id(rng: random.Random, moment: datetime) -> uuid.UUID:
    """A UUIDv7 (RFC 9562) as if made at ``moment``: rows keep the order in which the clinic wrote them."""
    milliseconds = int(moment.timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | rng.getrandbits(12) << 64 | 0b10 << 62 | rng.getrandbits(62))


class Population:
    """Makes patients one by one. ``make_key`` gives each its audit key; randomness for secrets is the caller's."""

    def __init__(
        self, rng: random.Random, calendar: ClinicCalendar, cipher: FieldCipher, make_key: Callable[[], bytes]
    ) -> None:
        self._rng = rng
        self._calendar = calendar
        self._cipher = cipher
        self._make_key = make_key
        self._faker = Faker("pt_BR")
        self._faker.seed_instance(rng.getrandbits(64))
        self._taken: set[str] = set()
        self._names: list[tuple[str, str]] = []

    def person(self, *, sex: str | None = None, ages: tuple[int, int] | None = None) -> Person:
        """Somebody with papers; ``sex`` and ``ages`` (both ends included) where the caller needs them to be so."""
        rng = self._rng
        sex = sex or ("FEMALE" if rng.random() < FEMALE_SHARE else "MALE")
        age = self._age() if ages is None else rng.randint(*ages)
        birth = self._birth(age)
        patient = self._blank(sex, self._registered(birth))
        patient.birth_date = birth
        patient.nationality = BRAZILIAN
        surname = self._surname()
        patient.full_name = f"{given(rng, sex, age)} {surname} {self._surname()}"
        patient.mother_name = f"{given(rng, 'FEMALE', age + 26)} {self._surname()} {surname}"
        self._contact(patient, age)
        made = Person(patient, b"", age, self._weight(age, sex))
        if ages is None:
            self._make_special(patient, age)
        self._names.append((patient.full_name, patient.sex))
        self._documents(patient, age)
        return self._finish(made)

    def _make_special(self, patient: Patient, age: int) -> None:
        """For a few: a social name, another country, or a name that somebody else has too."""
        roll = self._rng.random()
        if roll < 0.02 and ADULT <= age < OLD:
            patient.social_name = self._social_name(patient.full_name, patient.sex, age)
        elif roll < 0.035 and age >= ADULT:
            name, patient.sex, patient.nationality = self._rng.choice(people()["foreigners"])
            patient.full_name, patient.mother_name = name, None
        elif roll < 0.05 and self._names:
            name, sex = self._rng.choice(self._names)
            patient.full_name = name if sex == patient.sex else patient.full_name

    def unidentified(self) -> Person:
        """Somebody brought in without papers: a description instead of a name, an estimated birth date."""
        description, sex, age = self._rng.choice(people()["unidentified"])
        patient = self._blank(sex, self._calendar.at(self._calendar.day(), RECEPTION_OPENS))
        patient.full_name = description
        patient.birth_date = date(self._calendar.today.year - age, 1, 1)
        patient.birth_date_estimated = True
        return self._finish(Person(patient, b"", age, self._weight(age, sex), is_identified=False))

    def _finish(self, person: Person) -> Person:
        person.audit_key = self._make_key()
        person.patient.audit_key_cipher = self._cipher.encrypt_bytes(person.audit_key, person.patient.id)
        if person.is_identified:
            person.chronic = chronic_conditions(self._rng, person.age, person.patient.sex)
        return person

    def _blank(self, sex: str, registered: datetime) -> Patient:
        return Patient(
            id=past_id(self._rng, registered),
            sex=sex,
            birth_date_estimated=False,
            version=1,
            created_at=registered,
            updated_at=registered,
        )

    def _age(self) -> int:
        band = self._rng.choices(range(len(AGE_BANDS)), [share for _, share in AGE_BANDS])[0]
        first = AGE_BANDS[band][0]
        following = AGE_BANDS[band + 1][0] if band + 1 < len(AGE_BANDS) else OLDEST
        return self._rng.randrange(first, following)

    def _birth(self, age: int) -> date:
        """A birthday that makes somebody ``age`` today, at least two weeks ago."""
        day = self._calendar.today - timedelta(days=int(age * 365.2425) + self._rng.randint(15, 340))
        while age_on(day, self._calendar.today) < age:
            day -= timedelta(days=10)
        return day

    def _registered(self, birth: date) -> datetime:
        """Before the doors open, so that a visit on the same day comes after it. Two of three were patients
        before the year began; nobody before they were born."""
        day = self._calendar.day(since=birth + timedelta(days=7))
        if self._rng.random() < 0.65:
            earlier = day - timedelta(weeks=self._rng.randint(53, 53 + LONGEST_HISTORY))
            day = earlier if earlier > birth else day
        return self._calendar.at(day, RECEPTION_OPENS) + timedelta(seconds=self._rng.randrange(1800))

    def _surname(self) -> str:
        return str(self._faker.last_name())

    def _social_name(self, full_name: str, sex: str, age: int) -> str:
        other = "MALE" if sex == "FEMALE" else "FEMALE"
        return f"{given(self._rng, other, age)} {full_name.rsplit(' ', 1)[1]}"

    def _contact(self, patient: Patient, age: int) -> None:
        rng = self._rng
        patient.phone = f"(11) 90{rng.randrange(1000):03}-{rng.randrange(10_000):04}"
        street = f"{rng.choice(STREETS)} {self._faker.first_name()} {self._surname()}"
        flat = f", apto {rng.randint(1, 18)}{rng.randint(1, 4)}" if rng.random() < 0.35 else ""
        patient.address = (
            f"{street}, {rng.randint(5, 2400)}{flat} – {rng.choice(people()['districts'])}, "
            f"São Paulo – SP, 0{rng.randint(1000, 8499)}-{rng.randrange(1000):03}"
        )
        if age >= ADULT and rng.random() < 0.6:
            first, *_, last = fold(patient.full_name).split()
            patient.email = f"{first}.{last}{rng.randint(1, 99)}@example.org"

    def _documents(self, patient: Patient, age: int) -> None:
        rng = self._rng
        if patient.nationality != BRAZILIAN:
            self._seal(patient, "passport", f"{rng.choice('ABCDEFG')}{rng.randrange(10**7, 10**8)}")
        if rng.random() < (0.95 if age >= ADULT else 0.8):
            self._seal(patient, "cpf", self._unused(cpf))
        if rng.random() < 0.8:
            self._seal(patient, "cns", self._unused(cns))

    def _seal(self, patient: Patient, kind: str, value: str) -> None:
        seal(patient, kind, value, self._cipher)

    def _unused(self, make: Callable[[random.Random], str]) -> str:
        while (number := make(self._rng)) in self._taken:
            pass
        self._taken.add(number)
        return number

    def _weight(self, age: int, sex: str) -> float:
        if age < ADULT:
            return max(3.4, (3 * age + 7) * self._rng.uniform(0.85, 1.15))
        return max(42.0, self._rng.gauss(70 if sex == "FEMALE" else 80, 12))


@cache
def people() -> dict[str, Any]:
    """Names and the like that the tables hold."""
    tables: dict[str, Any] = orjson.loads((DATA / "demo_people.json").read_bytes())
    return tables


def given(rng: random.Random, sex: str, age: int) -> str:
    """A first name that was common when somebody ``age`` years old was born."""
    generation = "old" if age >= OLD else "young" if age < YOUNG else "middle"
    return str(rng.choice(people()["given"][sex][generation]))


def chronic_conditions(rng: random.Random, age: int, sex: str) -> list[Condition]:
    """What somebody lives with: little in youth, often several things in old age."""
    fitting = [each for each in all_conditions() if each.chronic and each.fits(age, sex)]
    if not fitting:
        return []
    count = rng.choices((0, 1, 2, 3), (6, 3, 1, 0) if age < 35 else (2, 4, 3, 1) if age < OLD else (0, 3, 4, 3))[0]
    chosen = rng.choices(fitting, [each.weight for each in fitting], k=count)
    return list(dict.fromkeys(chosen)) if count else []


def cpf(rng: random.Random) -> str:
    """Eleven digits with the check digits of the Receita Federal's rule."""
    digits = [rng.randrange(10) for _ in range(9)]
    if len(set(digits)) == 1:
        digits[0] = (digits[0] + 1) % 10
    for length in (10, 11):
        total = sum(weight * digit for weight, digit in zip(range(length, 1, -1), digits, strict=True))
        digits.append(total * 10 % 11 % 10)
    return "".join(map(str, digits))


def cns(rng: random.Random) -> str:
    """Fifteen digits of a provisional CNS: it begins with 7, and the weighted sum is a multiple of 11."""
    while True:
        digits = [7, *(rng.randrange(10) for _ in range(13))]
        rest = -sum((15 - place) * digit for place, digit in enumerate(digits)) % 11
        if rest < 10:
            return "".join(map(str, [*digits, rest]))
