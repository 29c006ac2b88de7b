"""A day at the clinic: check in, call, close, and the worklist in between."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from config import Principal, Settings
from models import AuditOutbox, CareTeamMember, MedicalRecord, Visit
from models.engine import Databases
from models.user import Role
from services.access import find_patient
from services.errors import Conflict, Forbidden, Gone, Invalid, NotFound, ServiceError
from services.field_encryption import FieldCipher, field_cipher
from services.patient_inactivate import inactivate_patient
from services.patient_timeline import read_timeline
from services.visit_call import call_visit
from services.visit_close import close_visit
from services.visit_create import NewVisit, create_visit
from services.visit_fields import show_visit
from services.visit_get import get_visit
from services.visit_list import list_visits
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person


@pytest.fixture
def patient_id(databases: Databases, settings: Settings) -> uuid.UUID:
    """A patient with nobody on the team."""
    return make_patient(databases, settings, "Fulano de Tal", social_name="Beltrana")


def check_in(
    databases: Databases, cipher: FieldCipher, person: Person, patient_id: uuid.UUID, **values: Any
) -> uuid.UUID:
    new = NewVisit(patient_id, **{"reason": "Dor de cabeça há 3 dias", "priority": "NORMAL", **values})
    with databases.session(Principal.STAFF) as session:
        return create_visit(session, person.actor, cipher, new)[0].id


def call(databases: Databases, cipher: FieldCipher, person: Person, visit_id: uuid.UUID) -> uuid.UUID:
    with databases.session(Principal.STAFF) as session:
        return call_visit(session, person.actor, cipher, visit_id).record.record.id


def close(
    databases: Databases, cipher: FieldCipher, person: Person, visit_id: uuid.UUID, status: str | None = None
) -> str:
    with databases.session(Principal.STAFF) as session:
        return close_visit(session, person.actor, cipher, visit_id, status=status)[0].status


def in_team(databases: Databases, person: Person, patient_id: uuid.UUID) -> bool:
    with databases.session(Principal.STAFF) as session:
        return find_patient(session, person.actor, patient_id)[1].in_team


def test_a_visit_from_the_door_to_a_day_after(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    visit_id = check_in(databases, cipher, cast.reception, patient_id, priority="HIGH")
    assert not in_team(databases, cast.doctor2, patient_id)
    record_id = call(databases, cipher, cast.doctor2, visit_id)
    assert in_team(databases, cast.doctor2, patient_id)
    with databases.session(Principal.STAFF) as session:
        record = session.get_one(MedicalRecord, record_id)
        assert (record.title, record.kind, record.priority) == ("Dor de cabeça há 3 dias", "CONSULTATION", "HIGH")
        assert (record.visit_id, record.author_id) == (visit_id, cast.doctor2.id)
    assert close(databases, cipher, cast.reception, visit_id) == "DONE"
    assert in_team(databases, cast.doctor2, patient_id)
    with databases.session(Principal.STAFF) as session:
        member = session.scalars(select(CareTeamMember).where(CareTeamMember.visit_id == visit_id)).one()
        visit = session.get_one(Visit, visit_id)
        assert visit.closed_at is not None and member.expires_at == visit.closed_at + timedelta(hours=24)
        session.execute(
            update(CareTeamMember).where(CareTeamMember.id == member.id).values(expires_at=datetime.now(UTC))
        )
    assert not in_team(databases, cast.doctor2, patient_id)
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox.action).where(AuditOutbox.patient_id == patient_id).order_by(AuditOutbox.id)
        assert list(session.scalars(query)) == [
            "visit.create", "visit.call", "care_team.add", "medical_record.create", "visit.close",
        ]  # fmt: skip


def test_who_may_check_in_call_and_close(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    for name in ("nurse", "admin", "auditor", "patient"):
        with pytest.raises(Forbidden):
            check_in(databases, cipher, cast.people[name], patient_id)
    join_team(databases, patient_id, cast.nurse.id)
    visit_id = check_in(databases, cipher, cast.nurse, patient_id)
    for name in ("nurse", "reception", "admin", "auditor", "patient"):
        with pytest.raises(Forbidden):
            call(databases, cipher, cast.people[name], visit_id)
    for name in ("nurse2", "admin", "auditor", "patient"):
        with pytest.raises(Forbidden):
            close(databases, cipher, cast.people[name], visit_id)
    for act in (call, close):
        with pytest.raises(NotFound):
            act(databases, cipher, cast.doctor, uuid.uuid4())
    with pytest.raises(Invalid):
        close(databases, cipher, cast.nurse, visit_id, "GONE")
    assert close(databases, cipher, cast.nurse, visit_id) == "LEFT", "nobody called them"
    with pytest.raises(Conflict):
        close(databases, cipher, cast.reception, visit_id)
    with pytest.raises(Conflict):
        call(databases, cipher, cast.doctor, visit_id)
    with pytest.raises(NotFound):
        check_in(databases, cipher, cast.reception, uuid.uuid4())


def test_nobody_gets_into_a_team_by_checking_in_and_calling(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    visit_id = check_in(databases, cipher, cast.doctor2, patient_id)
    with pytest.raises(Forbidden):
        call(databases, cipher, cast.doctor2, visit_id)
    assert not in_team(databases, cast.doctor2, patient_id)
    join_team(databases, patient_id, cast.doctor2.id)
    call(databases, cipher, cast.doctor2, visit_id)


def test_a_visit_for_one_doctor_waits_for_them(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    with pytest.raises(Invalid) as refused:
        check_in(databases, cipher, cast.reception, patient_id, doctor_id=cast.nurse.id)
    assert [error.pointer for error in refused.value.errors] == ["/doctorId"]
    visit_id = check_in(databases, cipher, cast.reception, patient_id, doctor_id=cast.doctor2.id)
    with pytest.raises(Conflict):
        call(databases, cipher, cast.doctor, visit_id)
    call(databases, cipher, cast.doctor2, visit_id)


def test_one_open_visit_a_patient(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    first = check_in(databases, cipher, cast.reception, patient_id)
    with pytest.raises(Conflict):
        check_in(databases, cipher, cast.doctor, patient_id)
    close(databases, cipher, cast.reception, first, "DONE")
    check_in(databases, cipher, cast.doctor, patient_id)
    for wrong in ({"reason": " "}, {"reason": "x" * 201}, {"priority": "URGENT"}):
        with pytest.raises(Invalid):
            check_in(databases, cipher, cast.reception, make_patient(databases, settings), **wrong)
    inactive = make_patient(databases, settings, "Engano")
    with databases.session(Principal.STAFF) as session:
        inactivate_patient(session, cast.reception.actor, cipher, inactive, reason="engano")
    with pytest.raises(Gone):
        check_in(databases, cipher, cast.reception, inactive)


def race(acts: list[Any]) -> list[str]:
    start = threading.Barrier(len(acts))
    outcomes: list[str] = []

    def attempt(act: Any) -> None:
        start.wait(timeout=10)
        try:
            act()
            outcomes.append("done")
        except ServiceError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=attempt, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    return sorted(outcomes)


def test_of_two_doctors_who_call_at_once_one_gets_the_patient(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    visit_id = check_in(databases, cipher, cast.reception, patient_id)
    doctors = [make_person(databases, Role.DOCTOR, f"Doutor {n}") for n in range(4)]
    assert race([lambda who=who: call(databases, cipher, who, visit_id) for who in doctors]) == [
        "Conflict", "Conflict", "Conflict", "done",
    ]  # fmt: skip
    with databases.session(Principal.STAFF) as session:
        records = session.scalars(select(MedicalRecord).where(MedicalRecord.visit_id == visit_id)).all()
        visit = session.get_one(Visit, visit_id)
    assert [record.author_id for record in records] == [visit.doctor_id]


def test_two_desks_check_one_patient_in_once(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    acts = [lambda: check_in(databases, cipher, cast.reception, patient_id) for _ in range(4)]
    assert race(acts) == ["Conflict", "Conflict", "Conflict", "done"]


def listed(databases: Databases, person: Person, **options: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = list_visits(databases, person.actor, cursor=cursor, **options)
        rows += json.loads(page.data)
        cursor = page.next_cursor
        if cursor is None:
            return rows


def test_the_worklist_shows_the_urgent_first_and_then_who_waits_longest(
    fresh_databases: Databases, fresh_settings: Settings
) -> None:
    cipher = field_cipher(fresh_settings)
    reception = make_person(fresh_databases, Role.RECEPTION, "Mesa")
    doctor = make_person(fresh_databases, Role.DOCTOR, "Doutora")
    order = ["LOW", "CRITICAL", "NORMAL", "HIGH", "NORMAL", "CRITICAL"]
    made = [
        check_in(fresh_databases, cipher, reception, make_patient(fresh_databases, fresh_settings), priority=priority)
        for priority in order
    ]
    expected = [str(made[n]) for n in (1, 5, 3, 2, 4, 0)]
    for limit in (2, 100):
        rows = listed(fresh_databases, doctor, limit=limit)
        assert [row["id"] for row in rows] == expected
        assert {row["patientName"] for row in rows} == {"Paciente de Teste"}
    call(fresh_databases, cipher, doctor, made[1])
    assert [row["id"] for row in listed(fresh_databases, doctor, status="WAITING", limit=2)] == expected[1:]
    (in_care,) = listed(fresh_databases, doctor, status="IN_CARE")
    assert (in_care["doctorName"], in_care["calledAt"] is not None) == ("Doutora", True)
    for visit_id in made:
        close(fresh_databases, cipher, reception, visit_id, "DONE")
    assert listed(fresh_databases, doctor) == []
    done = listed(fresh_databases, doctor, status="DONE", limit=4)
    assert [row["id"] for row in done] == [str(visit_id) for visit_id in reversed(made)]
    with pytest.raises(Invalid):
        list_visits(fresh_databases, doctor.actor, status="GONE")
    with pytest.raises(Invalid):
        list_visits(fresh_databases, doctor.actor, status="LEFT", cursor="bm9uc2Vuc2U")
    with fresh_databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.action == "visit.list").order_by(AuditOutbox.id.desc())
        shown = session.scalars(query).first()
    assert shown is not None and shown.actor_id == doctor.id


def test_a_visit_shows_the_social_name_and_hides_the_complaint_from_administration(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    visit_id = check_in(databases, cipher, cast.reception, patient_id)

    def row(person: Person) -> dict[str, Any]:
        return next(row for row in listed(databases, person, limit=100) if row["id"] == str(visit_id))

    for name in ("doctor", "doctor2", "nurse2", "reception", "admin"):
        person = cast.people[name]
        with databases.session(Principal.STAFF) as session:
            visit = session.get_one(Visit, visit_id)
            patient, _ = find_patient(session, person.actor, patient_id)
            assert show_visit(session, person.actor, visit, patient) == row(person), name
        assert row(person)["patientName"] == "Beltrana"
        assert (row(person)["reason"] is None) is (name == "admin")
        assert (row(person)["hasAllergies"] is None) is (name in ("admin", "reception"))
        expected = {"admin": ["reason", "hasAllergies"], "reception": ["hasAllergies"]}
        assert row(person)["privacy"]["maskedFields"] == expected.get(name, [])
    with pytest.raises(Forbidden):
        list_visits(databases, cast.auditor.actor)


@pytest.mark.parametrize("status", ["DONE", "LEFT"])
def test_the_desk_no_longer_sees_the_complaint_of_a_visit_that_is_over(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID, status: str
) -> None:
    visit_id = check_in(databases, cipher, cast.reception, patient_id)
    call(databases, cipher, cast.doctor, visit_id)
    assert get_visit(databases, cast.reception.actor, visit_id)["reason"] == "Dor de cabeça há 3 dias"
    close(databases, cipher, cast.reception, visit_id, status)
    for name in ("doctor", "doctor2", "nurse2", "reception", "admin"):
        person = cast.people[name]
        with databases.session(Principal.STAFF) as session:
            patient, _ = find_patient(session, person.actor, patient_id)
            python = show_visit(session, person.actor, session.get_one(Visit, visit_id), patient)
        entries = json.loads(read_timeline(databases, person.actor, patient_id, limit=10).data)
        ways = (
            python,
            get_visit(databases, person.actor, visit_id),
            next(row for row in listed(databases, person, status=status) if row["id"] == str(visit_id)),
            next(each["entry"] for each in entries if each["type"] == "visit"),
        )
        assert all(way == python for way in ways), name
        is_hidden = name in ("reception", "admin")
        assert (python["reason"] is None, "reason" in python["privacy"]["maskedFields"]) == (is_hidden,) * 2, name


def test_a_patient_sees_their_own_visits_only(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    visit_id = check_in(databases, cipher, cast.reception, cast.patient_id)
    try:
        assert [row["id"] for row in listed(databases, cast.patient)] == [str(visit_id)]
        assert str(visit_id) not in str(listed(databases, cast.stranger))
    finally:
        close(databases, cipher, cast.reception, visit_id)
