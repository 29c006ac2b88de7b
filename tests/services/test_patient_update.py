"""Correcting a patient: versions, conflicts, who may, and what a masked copy can't do."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime

import pytest

from config import Principal
from models.engine import Databases
from services.errors import (
    Forbidden,
    Invalid,
    NotFound,
    PreconditionRequired,
    StaleVersion,
)
from services.field_encryption import FieldCipher
from services.patient_update import may_update_patient
from tests.factories.cast import Cast, make_cpf
from tests.services.patients_at_the_desk import change, events, members, read, register


def test_update_needs_the_version_and_names_what_conflicts(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    cpf = make_cpf()
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf, phone="1")
    assert change(databases, cipher, cast.reception, patient_id, 1, phone="2", address="Rua B") == 2
    with pytest.raises(StaleVersion) as stale:
        change(databases, cipher, cast.doctor, patient_id, 1, phone="3", address="Rua B", cpf=cpf, email="a@b.c")
    assert stale.value.current_version == 2 and stale.value.conflicting_fields == ("phone",)
    with pytest.raises(PreconditionRequired):
        change(databases, cipher, cast.doctor, patient_id, None, phone="3")
    assert change(databases, cipher, cast.doctor, patient_id, 2, phone="2", cpf=cpf) == 2, "nothing changed, no version"
    changed = change(databases, cipher, cast.doctor, patient_id, 2, phone=None, cpf=None, deceasedAt=datetime.now(UTC))
    assert changed == 3
    shown = read(databases, cipher, cast.doctor, patient_id)
    assert shown["phone"] is None and shown["cpf"] is None and shown["deceasedAt"] is not None
    assert {c["field"] for c in events(databases, patient_id, "patient.update")[-1].changes or ()} == {
        "phone",
        "cpf",
        "deceasedAt",
    }
    for wrong in ({"fullName": None}, {"sex": None}, {"deceasedAt": datetime(1840, 1, 1, tzinfo=UTC)}):
        with pytest.raises(Invalid):
            change(databases, cipher, cast.doctor, patient_id, 3, **wrong)
    assert change(databases, cipher, cast.doctor, patient_id, 3, birthDate=date(1990, 5, 5)) == 4
    with pytest.raises(Invalid):
        change(databases, cipher, cast.doctor, patient_id, 4, deceasedAt=datetime(1990, 5, 4, tzinfo=UTC))


def test_who_may_correct_a_patient(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    for name in ("doctor", "nurse", "reception"):
        with databases.session(Principal.STAFF) as session:
            may_update_patient(session, cast.people[name].actor, cast.patient_id)
    for name in ("doctor2", "nurse2", "admin", "auditor", "patient"):
        with databases.session(Principal.STAFF) as session, pytest.raises(Forbidden):
            may_update_patient(session, cast.people[name].actor, cast.patient_id)
    with databases.session(Principal.STAFF) as session, pytest.raises(NotFound):
        may_update_patient(session, cast.doctor.actor, uuid.uuid4())


def test_security_39_a_masked_copy_sent_back_changes_nothing(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    cpf = make_cpf()
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf)
    copy = read(databases, cipher, cast.doctor2, patient_id)
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.doctor2, patient_id, 1, cpf=copy["cpf"], cns=copy["cns"])
    with pytest.raises(Invalid):
        change(databases, cipher, cast.doctor, patient_id, 1, cpf=copy["cpf"])
    assert read(databases, cipher, cast.reception, patient_id)["cpf"].replace(".", "").replace("-", "") == cpf


def test_the_responsible_doctor_changes_with_the_team(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    patient_id = register(databases, cipher, cast.doctor)
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.doctor2, patient_id, 1, responsibleId=cast.doctor2.id)
    assert change(databases, cipher, cast.reception, patient_id, 1, responsibleId=cast.doctor2.id) == 2
    assert members(databases, patient_id) == {cast.doctor.id: "ADDED", cast.doctor2.id: "RESPONSIBLE"}
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.doctor, patient_id, 2, responsibleId=cast.doctor.id)
    with pytest.raises(Invalid):
        change(databases, cipher, cast.doctor, patient_id, 2, responsibleId=None)
    assert change(databases, cipher, cast.doctor2, patient_id, 2, responsibleId=cast.doctor.id) == 3
    assert members(databases, patient_id) == {cast.doctor.id: "RESPONSIBLE", cast.doctor2.id: "ADDED"}
