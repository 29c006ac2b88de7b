"""Who joins and leaves a care team, by whom."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from config import Principal, Settings
from models import AuditOutbox, CareTeamMember, Patient, PatientVersion, User
from models.engine import Databases
from models.user import Role
from services.access import find_patient
from services.care_team_add import add_member
from services.care_team_list import list_team, show_member
from services.care_team_remove import remove_member
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.patient_create import create_patient
from tests.factories.cast import Cast, Person, make_patient, make_person


@pytest.fixture
def patient_id(databases: Databases, cast: Cast, cipher: FieldCipher) -> uuid.UUID:
    """A patient whose responsible doctor, and whole team, is ``doctor``."""
    with databases.session(Principal.STAFF) as session:
        return create_patient(session, cast.doctor.actor, cipher, {"fullName": "Equipe", "sex": "UNKNOWN"}).patient.id


def add(databases: Databases, cipher: FieldCipher, person: Person, patient_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    with databases.session(Principal.STAFF) as session:
        return add_member(session, person.actor, cipher, patient_id, user_id).is_new


def remove(
    databases: Databases, cipher: FieldCipher, person: Person, patient_id: uuid.UUID, user_id: uuid.UUID,
    successor: uuid.UUID | None = None,
) -> None:  # fmt: skip
    with databases.session(Principal.STAFF) as session:
        remove_member(session, person.actor, cipher, patient_id, user_id, responsible_id=successor)


def in_team(databases: Databases, person: Person, patient_id: uuid.UUID) -> bool:
    with databases.session(Principal.STAFF) as session:
        return find_patient(session, person.actor, patient_id)[1].in_team


def actions(databases: Databases, patient_id: uuid.UUID) -> list[str]:
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox.action).where(AuditOutbox.patient_id == patient_id).order_by(AuditOutbox.id)
        return [action for action in session.scalars(query) if action.startswith("care_team")]


def test_a_team_doctor_or_reception_adds_and_nobody_adds_themselves(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    for name in ("doctor2", "nurse", "admin", "auditor", "patient"):
        with pytest.raises(Forbidden):
            add(databases, cipher, cast.people[name], patient_id, cast.nurse2.id)
    for person in (cast.doctor, cast.doctor2):
        with pytest.raises(Forbidden):
            add(databases, cipher, person, patient_id, person.id)
    assert add(databases, cipher, cast.doctor, patient_id, cast.nurse2.id) is True
    assert in_team(databases, cast.nurse2, patient_id)
    before = actions(databases, patient_id)
    assert add(databases, cipher, cast.reception, patient_id, cast.nurse2.id) is False
    assert actions(databases, patient_id) == before, "no change, no event"
    assert add(databases, cipher, cast.reception, patient_id, cast.doctor2.id) is True
    assert actions(databases, patient_id) == ["care_team.add"] * 3


def test_only_active_doctors_and_nurses_can_be_members(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    left = make_person(databases, Role.DOCTOR, "Saiu da Clinica")
    with databases.session(Principal.STAFF) as session:
        session.execute(update(User).where(User.id == left.id).values(disabled_at=datetime.now(UTC)))
    for user_id in (left.id, cast.reception.id, cast.admin.id, cast.patient.id, uuid.uuid4()):
        with pytest.raises(Invalid) as refused:
            add(databases, cipher, cast.doctor, patient_id, user_id)
        assert [error.pointer for error in refused.value.errors] == ["/userId"]
    with pytest.raises(NotFound):
        add(databases, cipher, cast.doctor, uuid.uuid4(), cast.nurse.id)


def test_leaving_ends_access_and_keeps_the_history(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    add(databases, cipher, cast.doctor, patient_id, cast.nurse.id)
    with pytest.raises(Forbidden):
        remove(databases, cipher, cast.nurse, patient_id, cast.doctor.id)
    remove(databases, cipher, cast.reception, patient_id, cast.nurse.id)
    assert not in_team(databases, cast.nurse, patient_id)
    with pytest.raises(NotFound):
        remove(databases, cipher, cast.reception, patient_id, cast.nurse.id)
    assert add(databases, cipher, cast.doctor, patient_id, cast.nurse.id) is True
    with databases.session(Principal.STAFF) as session:
        rows = session.scalars(
            select(CareTeamMember).where(
                CareTeamMember.patient_id == patient_id, CareTeamMember.user_id == cast.nurse.id
            )
        ).all()
    assert sorted(row.removed_by is not None for row in rows) == [False, True]
    assert actions(databases, patient_id)[1:] == ["care_team.add", "care_team.remove", "care_team.add"]


def test_the_responsible_doctor_leaves_only_when_another_is_named(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    with pytest.raises(Conflict):
        remove(databases, cipher, cast.reception, patient_id, cast.doctor.id)
    with pytest.raises(Invalid):
        remove(databases, cipher, cast.reception, patient_id, cast.doctor.id, cast.doctor.id)
    with pytest.raises(Invalid):
        remove(databases, cipher, cast.reception, patient_id, cast.doctor.id, cast.nurse.id)
    with pytest.raises(Forbidden):
        remove(databases, cipher, cast.doctor, patient_id, cast.doctor.id, cast.doctor2.id)
    remove(databases, cipher, cast.reception, patient_id, cast.doctor.id, cast.doctor2.id)
    assert not in_team(databases, cast.doctor, patient_id) and in_team(databases, cast.doctor2, patient_id)
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(Patient, patient_id).responsible_id == cast.doctor2.id
        assert session.get_one(PatientVersion, (patient_id, 2)).content["responsibleId"] == str(cast.doctor2.id)


def test_a_membership_that_ran_out_is_ended_and_begins_anew(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    ran_out = datetime.now(UTC) - timedelta(hours=1)
    with databases.session(Principal.STAFF) as session:
        session.add(CareTeamMember(patient_id=patient_id, user_id=cast.doctor2.id, origin="VISIT", expires_at=ran_out))
    assert not in_team(databases, cast.doctor2, patient_id)
    assert add(databases, cipher, cast.doctor, patient_id, cast.doctor2.id) is True
    assert in_team(databases, cast.doctor2, patient_id)
    with databases.session(Principal.STAFF) as session:
        ended = session.scalars(
            select(CareTeamMember.removed_at).where(
                CareTeamMember.patient_id == patient_id, CareTeamMember.origin == "VISIT"
            )
        ).one()
    assert ended == ran_out


def test_adding_the_doctor_of_a_visit_makes_them_stay(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        session.add(
            CareTeamMember(
                patient_id=patient_id, user_id=cast.doctor2.id, origin="VISIT",
                expires_at=datetime.now(UTC) + timedelta(hours=1),
            )
        )  # fmt: skip
    assert add(databases, cipher, cast.doctor, patient_id, cast.doctor2.id) is False
    listed = json.loads(list_team(databases, cast.doctor.actor, patient_id))
    assert [(m["name"], m["origin"], m["expiresAt"]) for m in listed] == [
        ("Ana Moura", "RESPONSIBLE", None),
        ("Paulo Reis", "ADDED", None),
    ]


def test_the_list_is_shown_to_whoever_may_know_the_patient(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        made = add_member(session, cast.doctor.actor, cipher, patient_id, cast.nurse.id)
    assert show_member(made) == json.loads(list_team(databases, cast.admin.actor, patient_id))[1]
    own = json.loads(list_team(databases, cast.patient.actor, cast.patient_id))
    assert {member["name"] for member in own} >= {"Ana Moura", "Rita Prado"}
    for person, other in ((cast.patient, patient_id), (cast.doctor, uuid.uuid4())):
        with pytest.raises(NotFound):
            list_team(databases, person.actor, other)
    with pytest.raises(Forbidden):
        list_team(databases, cast.auditor.actor, patient_id)
    assert json.loads(list_team(databases, cast.doctor2.actor, make_patient(databases, settings, "Sem Equipe"))) == []
