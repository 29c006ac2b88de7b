"""Reading a patient through each mask, as everybody of the cast."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import select

from config import Principal
from models import AuditOutbox
from models.engine import Databases
from services.errors import (
    Forbidden,
    NotFound,
)
from services.field_encryption import FieldCipher
from services.patient_get import get_patient
from tests.factories.cast import Cast, Person, make_cpf
from tests.services.patients_at_the_desk import read, register


def test_everybody_sees_what_the_table_says(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    cpf = make_cpf()
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf, passport="FD123456", phone="11 5555-0000")
    for name in ("doctor", "reception"):
        shown = read(databases, cipher, cast.people[name], patient_id)
        assert shown["cpf"].replace(".", "").replace("-", "") == cpf, name
    for name, reason in (
        ("doctor2", "outside-care-team"),
        ("nurse", "outside-care-team"),
        ("admin", "admin"),
    ):
        person = cast.people[name]
        shown = read(databases, cipher, person, patient_id)
        assert shown["cpf"] == f"***.{cpf[3:6]}.{cpf[6:9]}-**", name
        assert shown["passport"] == "*****456" and shown["phone"] == "11 5555-0000"
        assert shown["privacy"] == {"maskedFields": ["cpf", "cns", "passport"], "reason": reason}
        assert get_patient(databases, person.actor, cipher, patient_id).etag.startswith('"1-')
    with pytest.raises(Forbidden):
        get_patient(databases, cast.auditor.actor, cipher, patient_id)


def test_a_patient_sees_themselves_and_nobody_else(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    own = read(databases, cipher, cast.patient, cast.patient_id)
    assert own["fullName"] == "Conceição Ávila" and own["privacy"]["maskedFields"] == []
    for other in (cast.stranger_id, uuid.uuid4()):
        with pytest.raises(NotFound):
            get_patient(databases, cast.patient.actor, cipher, other)
    refused = events_of(databases, cast.stranger_id, cast.patient)
    assert refused and {event.outcome for event in refused} == {"refused"}


def events_of(databases: Databases, entity_id: uuid.UUID, person: Person) -> list[AuditOutbox]:
    with databases.session(Principal.WORKER) as session:
        return list(
            session.scalars(
                select(AuditOutbox).where(AuditOutbox.entity_id == entity_id, AuditOutbox.actor_id == person.id)
            )
        )
