"""The change token: differs for those whose pages show what changed, and for nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from config import Principal, Settings
from models import Allergy, Draft, Patient
from models.engine import Databases
from models.user import Role
from services.break_glass import break_glass
from services.change_token import ClinicState, change_token, patient_token
from services.errors import Forbidden
from services.field_encryption import FieldCipher
from services.record_create import NewRecord, create_record
from services.record_inactivate import inactivate_record
from services.visit_create import NewVisit, create_visit
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person
from tests.services.test_query_counts import statements_sent

KEY = b"k" * 32
Token = Callable[[Person], str]


@pytest.fixture
def token(databases: Databases) -> Token:
    """Nothing is kept between two questions."""
    clinic = ClinicState(databases, kept_seconds=0)
    return lambda person: change_token(databases, clinic, person.actor, KEY)


def changed(token: Token, people: dict[str, Person], act: Callable[[], object]) -> set[str]:
    """Names of those whose token ``act`` changes."""
    before = {name: token(person) for name, person in people.items()}
    assert before == {name: token(person) for name, person in people.items()}, "nothing changed, so no token did"
    act()
    return {name for name, person in people.items() if token(person) != before[name]}


CLINICAL = {"doctor", "doctor2", "nurse", "nurse2"}
DESK = CLINICAL | {"reception", "admin"}


def test_a_visit_is_news_from_the_door_to_the_end(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher, token: Token
) -> None:
    patient_id = make_patient(databases, settings, "Chegou Agora")

    def check_in() -> None:
        with databases.session(Principal.STAFF) as session:
            new = NewVisit(patient_id, "Tosse", "LOW")
            create_visit(session, cast.reception.actor, cipher, new)

    assert changed(token, cast.people, check_in) == DESK

    def rename() -> None:
        with databases.session(Principal.STAFF) as session:
            patient = session.get_one(Patient, patient_id)
            patient.social_name = "Outra"

    assert changed(token, cast.people, rename) == DESK

    def note_allergy() -> None:
        with databases.session(Principal.STAFF) as session:
            session.add(Allergy(patient_id=patient_id, substance="Dipirona", recorded_by=cast.doctor.id))

    assert changed(token, cast.people, note_allergy) == DESK


def test_a_record_is_news_to_staff_and_to_its_patient(
    databases: Databases, cast: Cast, cipher: FieldCipher, token: Token
) -> None:
    def write() -> None:
        with databases.session(Principal.STAFF) as session:
            create_record(session, cast.doctor.actor, cipher, NewRecord(cast.patient_id, {"title": "Consulta"}))

    assert changed(token, cast.people, write) == DESK | {"patient"}


def test_an_emergency_access_is_news_to_whoever_may_see_such_lists(
    databases: Databases, cast: Cast, token: Token
) -> None:
    doctor = make_person(databases, Role.DOCTOR, "De Fora")

    def break_it() -> None:
        with databases.session(Principal.STAFF) as session:
            break_glass(session, doctor.actor, cast.patient_id, reason="Emergência no pronto-socorro")

    people = cast.people | {"outsider": doctor}
    assert changed(token, people, break_it) == CLINICAL | {"admin", "auditor", "outsider"}


def test_a_draft_is_news_to_its_writer_once(databases: Databases, cast: Cast, token: Token) -> None:
    drafts: list[uuid.UUID] = []

    def keep() -> None:
        with databases.session(Principal.STAFF) as session:
            draft = Draft(
                user_id=cast.doctor.id, content={"title": "a"}, expires_at=datetime.now(UTC) + timedelta(days=1)
            )
            session.add(draft)
            session.flush()
            drafts.append(draft.id)

    def go_on_writing() -> None:
        with databases.session(Principal.STAFF) as session:
            session.get_one(Draft, drafts[0]).content = {"title": "ab"}

    assert changed(token, cast.people, keep) == {"doctor"}
    assert changed(token, cast.people, go_on_writing) == set()


def test_two_hundred_dashboards_cost_the_database_one_statement(databases: Databases, cast: Cast) -> None:
    clinic = ClinicState(databases, kept_seconds=60)
    staff = [person for name, person in cast.people.items() if name not in ("patient", "stranger")]

    def everybody() -> None:
        for number in range(200):
            change_token(databases, clinic, staff[number % len(staff)].actor, KEY)

    assert statements_sent(databases, everybody) == 1
    assert len({change_token(databases, clinic, person.actor, KEY) for person in staff}) == len(staff)


def test_security_40_a_change_is_told_and_not_read(
    databases: Databases, cast: Cast, cipher: FieldCipher, token: Token
) -> None:
    """22 characters, whatever changed, and no event."""
    statement = "SELECT count(*) FROM audit_outbox"
    with databases.autocommit(Principal.WORKER) as connection:
        before = connection.execute(statement).fetchone()
        assert {len(token(person)) for person in cast.people.values()} == {22}
        assert connection.execute(statement).fetchone() == before


def test_a_patients_token_tells_of_their_page_and_of_nobody_elses(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    mine, other = (make_patient(databases, settings, name) for name in ("Olhada Agora", "Outra Pessoa"))

    def tokens() -> tuple[str, str]:
        return patient_token(databases, cast.nurse.actor, mine, KEY), patient_token(
            databases, cast.nurse.actor, other, KEY
        )

    def allergy() -> None:
        with databases.session(Principal.STAFF) as session:
            session.add(Allergy(patient_id=mine, substance="Dipirona"))

    def record() -> None:
        with databases.session(Principal.STAFF) as session:
            create_record(session, cast.doctor.actor, cipher, NewRecord(mine, {"title": "Consulta"}))

    def data() -> None:
        with databases.session(Principal.STAFF) as session:
            session.get_one(Patient, mine).version += 1

    join_team(databases, mine, cast.doctor.id)
    for act in (allergy, record, data, lambda: join_team(databases, mine, cast.doctor2.id)):
        before = tokens()
        assert before == tokens(), "nothing changed, so no token did"
        act()
        after = tokens()
        assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    assert patient_token(databases, cast.doctor.actor, mine, KEY) != tokens()[0]


def test_a_patients_token_is_for_those_who_may_see_patients(databases: Databases, cast: Cast) -> None:
    with pytest.raises(Forbidden):
        patient_token(databases, cast.auditor.actor, cast.patient_id, KEY)
    theirs = [patient_token(databases, cast.patient.actor, each, KEY) for each in (cast.patient_id, uuid.uuid4())]
    assert theirs[0] != theirs[1]


def test_the_end_of_ones_own_emergency_access_is_news_on_that_patients_page(databases: Databases, cast: Cast) -> None:
    doctor = make_person(databases, Role.DOCTOR, "Fora Por Pouco")

    def token_of(person: Person) -> str:
        return patient_token(databases, person.actor, cast.patient_id, KEY)

    before = (token_of(doctor), token_of(cast.nurse))
    with databases.session(Principal.STAFF) as session:
        break_glass(session, doctor.actor, cast.patient_id, reason="Emergência no pronto-socorro")
    during = token_of(doctor)
    with databases.session(Principal.MIGRATOR) as session:
        ends = text("UPDATE break_glass_grants SET expires_at = now() WHERE user_id = :who")
        session.execute(ends, {"who": doctor.id})
    assert during != before[0]
    assert (token_of(doctor), token_of(cast.nurse)) == before


def test_a_record_that_takes_the_place_of_another_is_news(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    mine = make_patient(databases, settings, "Registro Trocado")
    join_team(databases, mine, cast.doctor.id)

    def write(title: str) -> uuid.UUID:
        with databases.session(Principal.STAFF) as session:
            return create_record(session, cast.doctor.actor, cipher, NewRecord(mine, {"title": title})).record.id

    wrong = write("Do paciente errado")
    before = patient_token(databases, cast.nurse.actor, mine, KEY)
    with databases.session(Principal.STAFF) as session:
        inactivate_record(session, cast.doctor.actor, cipher, wrong, version=1, reason="Paciente errado")
    write("Certo")
    assert patient_token(databases, cast.nurse.actor, mine, KEY) != before
