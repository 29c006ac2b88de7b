"""Inactivating a patient, with a reason, and bringing them back."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from config import Principal, Settings
from models import AuditOutbox, Visit
from models.engine import Databases
from services.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
)
from services.field_encryption import FieldCipher
from services.patient_inactivate import inactivate_patient, restore_patient
from tests.factories.cast import Cast, Person, make_patient
from tests.services.patients_at_the_desk import change, read, register


def test_inactivation_takes_a_reason_and_can_be_undone(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    patient_id = register(databases, cipher, cast.doctor)

    def inactivate(person: Person, reason: str | None = "engano") -> None:
        with databases.session(Principal.STAFF) as session:
            inactivate_patient(session, person.actor, cipher, patient_id, reason=reason)

    def restore(person: Person) -> None:
        with databases.session(Principal.STAFF) as session:
            restore_patient(session, person.actor, cipher, patient_id, reason="era válido")

    for name in ("doctor2", "nurse", "admin", "patient"):
        with pytest.raises(Forbidden):
            inactivate(cast.people[name])
    with pytest.raises(Invalid):
        inactivate(cast.doctor, " ")
    with pytest.raises(Conflict):
        restore(cast.doctor)
    with databases.session(Principal.STAFF) as session:
        session.add(Visit(patient_id=patient_id, reason="Dor", priority="LOW", arrived_at=datetime.now(UTC)))
    with pytest.raises(Conflict):
        inactivate(cast.doctor)
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(Visit).where(Visit.patient_id == patient_id).values(status="LEFT", closed_at=datetime.now(UTC))
        )
    inactivate(cast.doctor)
    with pytest.raises(Gone):
        inactivate(cast.reception)
    for name in ("doctor", "doctor2", "reception", "admin"):
        with pytest.raises(Gone):
            read(databases, cipher, cast.people[name], patient_id)
    assert read(databases, cipher, cast.doctor, patient_id, include_deleted=True)["deletedAt"] is not None
    with pytest.raises(Gone):
        change(databases, cipher, cast.doctor, patient_id, 2, phone="1")
    restore(cast.reception)
    assert read(databases, cipher, cast.doctor, patient_id)["version"] == 3
    actions = [event.action for event in all_events(databases, patient_id)]
    assert actions.count("patient.delete") == actions.count("patient.restore") == 1


def all_events(databases: Databases, patient_id: uuid.UUID) -> list[AuditOutbox]:
    with databases.session(Principal.WORKER) as session:
        return list(session.scalars(select(AuditOutbox).where(AuditOutbox.patient_id == patient_id)))


def test_an_inactive_patient_is_nobody_to_their_own_login(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    from dataclasses import replace

    patient_id = make_patient(databases, settings, "Duplicado")
    person = replace(cast.patient, actor=replace(cast.patient.actor, patient_id=patient_id))
    assert read(databases, cipher, person, patient_id)["fullName"] == "Duplicado"
    with databases.session(Principal.STAFF) as session:
        inactivate_patient(session, cast.reception.actor, cipher, patient_id, reason="engano")
    with pytest.raises(NotFound):
        read(databases, cipher, person, patient_id, include_deleted=True)
