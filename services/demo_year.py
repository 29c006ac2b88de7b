"""A year at a demo clinic: who came when with what, what was written, and who waits right now.

Pure: from people, a calendar and a random generator to unsaved model objects. Every record is version 1, lies
within working hours and in the past; notes that a nurse wrote are of patients whose team they belong to.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from typing import Any

from models import Allergy, CareTeamMember, MedicalRecord, Visit
from services.demo_calendar import ClinicCalendar
from services.demo_conditions import Condition, Extra, all_conditions, vital_signs
from services.demo_people import Person, past_id, people
from services.demo_staff import Team
from services.record_write import OPEN_FOR

DOCTOR_SHARES = (4, 2, 2, 2)  # of patients; the doctor who signs in has most
NURSE_SHARES = (6, 3, 2)  # nurse, second nurse, none
RETURN_AFTER = (25, 38)  # days
MEMBER_AFTER_VISIT = timedelta(hours=24)
LAST_START = time(17, 40)
# What the waiting room holds, in turn; those in care first.
NOW_PRIORITIES = ("HIGH", "NORMAL", "CRITICAL", "NORMAL", "LOW", "NORMAL", "HIGH", "LOW", "NORMAL", "LOW")
COLOURS = {"CRITICAL": "vermelho", "HIGH": "laranja", "NORMAL": "verde", "LOW": "azul"}
TRIAGE_TITLE = "Triagem de enfermagem"
ADDENDA = (
    ("Adendo: contato telefônico", "Paciente informa por telefone que está melhor e sem efeitos da medicação."),
    ("Adendo: resultado de exame", "Resultado conferido, sem valores críticos. Manter a conduta até o retorno."),
    ("Adendo: orientação", "Dúvida sobre o horário da medicação esclarecida com a família."),
)


@dataclass
class Year:
    """What was made, each list in the order of time."""

    visits: list[Visit] = field(default_factory=list)
    records: list[MedicalRecord] = field(default_factory=list)
    members: list[CareTeamMember] = field(default_factory=list)
    allergies: list[Allergy] = field(default_factory=list)


class YearMaker:
    """Fills a ``Year`` for ``persons``. The first person is the one who can sign in: a patient of the first doctor."""

    def __init__(self, rng: random.Random, calendar: ClinicCalendar, team: Team, persons: Sequence[Person]) -> None:
        self._rng = rng
        self._calendar = calendar
        self._team = team
        self._persons = persons
        self._nurses: dict[uuid.UUID, uuid.UUID] = {}
        self._guests: dict[tuple[uuid.UUID, uuid.UUID], CareTeamMember] = {}
        self._came: set[tuple[uuid.UUID, date]] = set()
        self._room = 0
        self.year = Year()

    def make(self, records: int) -> Year:
        """The year with exactly ``records`` records."""
        self._room = records
        for number, person in enumerate(self._persons):
            self._register(person, is_first=number == 0)
        self._fill_waiting_room()
        for person in self._persons:
            if not person.is_identified:
                self._emergency(person)
        for visit_number in range(4):
            self._visit(self._persons[0], is_follow_up=visit_number > 0)
        self._fill()
        year = self.year
        year.members += self._guests.values()
        year.visits.sort(key=lambda visit: visit.arrived_at)
        year.records.sort(key=lambda record: record.created_at)
        return year

    # -- who treats whom -----------------------------------------------------------------------------------

    def _register(self, person: Person, *, is_first: bool) -> None:
        rng, team = self._rng, self._team
        doctor = team.doctors[0] if is_first else rng.choices(team.doctors, DOCTOR_SHARES)[0]
        nurse = team.nurses[0] if is_first else rng.choices((*team.nurses, None), NURSE_SHARES)[0]
        person.patient.responsible_id = doctor
        person.patient.created_by = team.reception
        self._join(person, doctor, "RESPONSIBLE")
        if nurse is not None:
            self._nurses[person.id] = nurse
            self._join(person, nurse, "ADDED")
        if person.is_identified and (is_first or rng.random() < 0.18):
            self._allergy(person, doctor)

    def _join(self, person: Person, user: uuid.UUID, origin: str) -> None:
        at = person.patient.created_at
        self.year.members.append(
            CareTeamMember(
                id=past_id(self._rng, at), patient_id=person.id, user_id=user, origin=origin,
                added_by=self._team.reception, added_at=at,
            )
        )  # fmt: skip

    def _guest(self, person: Person, visit: Visit) -> None:
        """The doctor of a visit who is not the responsible one belongs to the team until a day after it."""
        doctor = visit.doctor_id
        if doctor is None or doctor == person.patient.responsible_id:
            return
        expires = None if visit.closed_at is None else visit.closed_at + MEMBER_AFTER_VISIT
        known = self._guests.get((person.id, doctor))
        if known is not None and (known.expires_at is None or (expires is not None and expires <= known.expires_at)):
            return
        called = visit.called_at or visit.arrived_at
        self._guests[person.id, doctor] = CareTeamMember(
            id=past_id(self._rng, called), patient_id=person.id, user_id=doctor, origin="VISIT", visit_id=visit.id,
            added_by=doctor, added_at=called, expires_at=expires,
        )  # fmt: skip

    def _allergy(self, person: Person, doctor: uuid.UUID) -> None:
        substance, reaction, severity = self._rng.choice(people()["allergens"])
        at = person.patient.created_at
        self.year.allergies.append(
            Allergy(
                id=past_id(self._rng, at), patient_id=person.id, substance=substance, reaction=reaction,
                severity=severity, noted_at=at, recorded_by=doctor, created_at=at,
            )
        )  # fmt: skip

    # -- visits of the year --------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Visits of anybody, the very young and the old more often, until the records are all written."""
        identified = [person for person in self._persons if person.is_identified]
        weights = list(accumulate(3.0 if p.age < 3 or p.age >= 70 else 2.0 if p.chronic else 1.0 for p in identified))
        while self._room > 0:
            person = self._rng.choices(identified, cum_weights=weights)[0]
            if self._rng.random() < 0.02:
                self._leave(person)
            else:
                self._visit(person)

    def _visit(self, person: Person, *, is_follow_up: bool = False) -> None:
        """One visit, its records, and often the return a month later."""
        day = self._free_day(person)
        condition = self._condition(person, day, chronic=is_follow_up or self._rng.random() < 0.6)
        self._attend(person, condition, day, is_return=False)
        if condition.returns and self._rng.random() < 0.4:
            due = self._calendar.near(day + timedelta(days=self._rng.randint(*RETURN_AFTER)))
            if due is not None and (person.id, due) not in self._came:
                self._attend(person, condition, due, is_return=True)

    def _emergency(self, person: Person) -> None:
        """The one visit of somebody unidentified, on the day they were brought in."""
        fitting = [each for each in all_conditions() if each.kind == "EMERGENCY" and each.fits(person.age, person.sex)]
        day = self._calendar.local(person.patient.created_at).date()
        self._attend(person, self._rng.choice(fitting), day, is_return=False)

    def _leave(self, person: Person) -> None:
        """Somebody who did not wait."""
        arrived = self._start(self._free_day(person))
        condition = self._condition(person, arrived.date(), chronic=False)
        self.year.visits.append(
            self._new_visit(
                person, self._rng.choice(condition.complaints), "LOW", arrived, status="LEFT", version=2,
                closed_at=min(arrived + timedelta(minutes=self._rng.randint(35, 90)), self._calendar.now),
            )
        )  # fmt: skip

    def _attend(self, person: Person, condition: Condition, day: date, *, is_return: bool) -> None:
        rng = self._rng
        if self._room <= 0:
            return
        self._came.add((person.id, day))
        written = self._start(day)
        called = written - timedelta(minutes=rng.randint(8, 22), seconds=rng.randrange(60))
        arrived = max(called - timedelta(minutes=rng.randint(6, 45)), person.patient.created_at)
        called = max(called, arrived)
        doctor = person.patient.responsible_id if rng.random() < 0.85 else rng.choice(self._team.doctors)
        reason = self._reason(condition, is_return=is_return)
        visit = self._new_visit(
            person, reason, self._priority(condition, is_return=is_return), arrived,
            status="DONE", version=3, doctor_id=doctor, called_at=called,
            closed_at=min(written + timedelta(minutes=rng.randint(2, 9)), self._calendar.now),
        )  # fmt: skip
        self.year.visits.append(visit)
        self._guest(person, visit)
        self._triage(person, visit, condition, arrived + (called - arrived) / 3)
        if self._room <= 0:
            return
        main = self._consultation(person, visit, condition, written, is_return=is_return)
        self._follow(person, visit, condition, main)

    def _consultation(
        self, person: Person, visit: Visit, condition: Condition, written: datetime, *, is_return: bool
    ) -> MedicalRecord:
        signs = vital_signs(self._rng, condition, person.age, person.weight, is_return=is_return)
        notes = self._rng.choice(condition.returns if is_return else condition.notes)
        return self._write(
            person, visit.doctor_id, written, visit_id=visit.id, kind="RETURN" if is_return else condition.kind,
            title=visit.reason, diagnosis=self._rng.choice(condition.diagnosis),
            treatment=self._rng.choice(condition.treatment), notes=notes.format_map(signs),
            cid10_codes=[condition.code], priority=visit.priority, restricted=condition.restricted,
        )  # fmt: skip

    def _triage(self, person: Person, visit: Visit, condition: Condition, written: datetime) -> None:
        nurse = self._nurses.get(person.id)
        likely = 0.85 if visit.priority in ("CRITICAL", "HIGH") else 0.35
        if nurse is None or self._rng.random() > likely or not self._calendar.is_working_time(written):
            return
        signs = vital_signs(self._rng, condition, person.age, person.weight, is_return=False)
        self._write(
            person, nurse, written, visit_id=visit.id, kind="TRIAGE", title=TRIAGE_TITLE, priority=visit.priority,
            notes="Queixa: {reason}. PA {pa}, FC {fc} bpm, FR {fr} irpm, temperatura {temp} °C, SpO2 {sat}%, "
            "peso {peso} kg. Classificação de risco: {colour}.".format_map(
                signs | {"reason": visit.reason.lower(), "colour": COLOURS[visit.priority]}
            ),
        )  # fmt: skip

    def _follow(self, person: Person, visit: Visit, condition: Condition, main: MedicalRecord) -> None:
        """A procedure at once, an exam or an addendum on a later day: for some, and where there is room."""
        rng = self._rng
        if condition.procedure is not None and rng.random() < 0.6:
            soon = main.occurred_at + timedelta(minutes=12)
            self._extra(person, visit, condition, condition.procedure, "PROCEDURE", soon)
        if condition.exam is not None and rng.random() < 0.35:
            self._extra(person, None, condition, condition.exam, "EXAM", self._later(main.occurred_at, 1, 6))
        if rng.random() < 0.03:
            at = self._later(main.occurred_at, 1, 2)
            if at is not None and self._room > 0:
                title, notes = rng.choice(ADDENDA)
                self._write(
                    person, self._nurses.get(person.id) or person.patient.responsible_id, at, kind="ADDENDUM",
                    title=title, notes=notes, priority=main.priority, restricted=main.restricted, amends_id=main.id,
                )  # fmt: skip

    def _extra(
        self, person: Person, visit: Visit | None, condition: Condition, extra: Extra, kind: str, at: datetime | None
    ) -> None:
        if at is None or self._room <= 0 or not self._calendar.is_working_time(at):
            return
        signs = vital_signs(self._rng, condition, person.age, person.weight, is_return=False)
        self._write(
            person, person.patient.responsible_id if visit is None else visit.doctor_id, at,
            visit_id=None if visit is None else visit.id, kind=kind, title=extra.title,
            notes=extra.notes.format_map(signs), cid10_codes=[condition.code], restricted=condition.restricted,
        )  # fmt: skip

    # -- right now -----------------------------------------------------------------------------------------

    def _fill_waiting_room(self) -> None:
        """Who is here at this moment, whatever the hour: a few in care, the rest waiting, of every priority."""
        calendar, rng = self._calendar, self._rng
        count = min(max(3, len(self._persons) // 12), 14, len(self._persons))
        in_care = min(len(self._team.doctors), max(1, count // 3))
        doctors = list(self._team.doctors)
        for number, (person, condition) in enumerate(self._now_present(count)):
            is_in_care = number < in_care
            arrived = calendar.now - timedelta(minutes=rng.randint(40, 95) if is_in_care else rng.randint(3, 75))
            arrived = max(arrived, person.patient.created_at)
            asked_for = person.patient.responsible_id if rng.random() < 0.6 else None
            visit = self._new_visit(
                person, self._reason(condition, is_return=False), condition.priority, arrived,
                status="IN_CARE" if is_in_care else "WAITING", version=2 if is_in_care else 1,
                doctor_id=doctors[number] if is_in_care else asked_for,
                called_at=max(arrived, calendar.now - timedelta(minutes=rng.randint(4, 25))) if is_in_care else None,
            )  # fmt: skip
            self.year.visits.append(visit)
            self._came.add((person.id, calendar.today))
            if self._room > 0:
                self._triage(person, visit, condition, arrived + timedelta(minutes=2))
            if is_in_care:
                self._guest(person, visit)
                self._open(person, visit)

    def _open(self, person: Person, visit: Visit) -> None:
        """The record that opens when a patient is called; at night there is nobody to write it."""
        at = visit.called_at
        if at is not None and self._room > 0 and self._calendar.is_working_time(at):
            self._write(
                person, visit.doctor_id, at, visit_id=visit.id, kind="CONSULTATION", title=visit.reason,
                priority=visit.priority,
            )  # fmt: skip

    def _now_present(self, count: int) -> Iterator[tuple[Person, Condition]]:
        """Different people with what they came for, in the order of NOW_PRIORITIES as far as somebody fits."""
        left = [person for person in self._persons[1:] if person.is_identified] or list(self._persons)
        self._rng.shuffle(left)
        for number in range(min(count, len(left))):
            wanted = NOW_PRIORITIES[number % len(NOW_PRIORITIES)]
            candidates = [each for each in all_conditions() if each.priority == wanted]
            person = next((p for p in left if any(each.fits(p.age, p.sex) for each in candidates)), left[0])
            left.remove(person)
            fitting = [each for each in candidates if each.fits(person.age, person.sex)]
            if fitting:
                yield person, self._weighted(fitting)
            else:
                yield person, self._condition(person, self._calendar.today, chronic=True)

    # -- the parts -----------------------------------------------------------------------------------------

    def _new_visit(self, person: Person, reason: str, priority: str, arrived: datetime, **values: Any) -> Visit:
        return Visit(
            id=past_id(self._rng, arrived), patient_id=person.id, reason=reason, priority=priority,
            arrived_at=arrived, checked_in_by=self._team.reception, **values,
        )  # fmt: skip

    def _write(self, person: Person, author: uuid.UUID | None, at: datetime, **values: Any) -> MedicalRecord:
        record = MedicalRecord(
            **{"cid10_codes": [], "priority": "NORMAL", "restricted": False}
            | values
            | {
                "id": past_id(self._rng, at), "patient_id": person.id, "author_id": author, "version": 1,
                "occurred_at": at, "created_at": at, "updated_at": at, "closes_at": at + OPEN_FOR,
            }
        )  # fmt: skip
        self.year.records.append(record)
        self._room -= 1
        return record

    def _free_day(self, person: Person) -> date:
        """A working day since somebody registered on which they have not come yet, if a few tries find one."""
        since = self._calendar.local(person.patient.created_at).date()
        for _ in range(20):
            day = self._calendar.day(since=since)
            if (person.id, day) not in self._came:
                break
        return day

    def _start(self, day: date) -> datetime:
        """When a doctor writes: early enough that the clinic is still open when a procedure follows."""
        moment = self._calendar.moment(day)
        return min(moment, self._calendar.at(day, LAST_START))

    def _later(self, moment: datetime, fewest: int, most: int) -> datetime | None:
        """A working moment some days later; none when that is still to come."""
        day = self._calendar.local(moment).date() + timedelta(days=self._rng.randint(fewest, most))
        working = self._calendar.near(day)
        return None if working is None else self._calendar.moment(working)

    def _condition(self, person: Person, day: date, *, chronic: bool) -> Condition:
        """What somebody comes with: what they live with, or else something that fits and goes around then."""
        if chronic and person.chronic:
            return self._rng.choice(person.chronic)
        fitting = [each for each in all_conditions() if not each.chronic and each.fits(person.age, person.sex)]
        return self._weighted(fitting, month=day.month)

    def _weighted(self, conditions: Sequence[Condition], *, month: int = 0) -> Condition:
        return self._rng.choices(conditions, [each.weight_in(month) for each in conditions])[0]

    def _reason(self, condition: Condition, *, is_return: bool) -> str:
        """What reception writes down. It is no diagnosis: the waiting room sees it."""
        complaint = self._rng.choice(condition.complaints)
        return f"Retorno: {complaint[0].lower()}{complaint[1:]}" if is_return else complaint

    def _priority(self, condition: Condition, *, is_return: bool) -> str:
        if is_return:
            return "LOW" if condition.priority in ("LOW", "NORMAL") else "NORMAL"
        roll = self._rng.random()
        if condition.priority == "NORMAL" and roll < 0.2:
            return "HIGH" if roll < 0.07 else "LOW"
        return condition.priority
