"""A doctor, a patient of theirs with one record, and a queue that holds nobody else's question."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from flask import Flask

from config import Principal, Settings
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.factories.cast import Cast, join_team, make_patient
from tests.factories.question import empty_queue
from tests.factories.signed_in import SignedIn

DIAGNOSIS = "Enxaqueca sem aura"


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient of the doctor's and the nurse's with one record."""
    made = make_patient(databases, settings, "Gumercindo Vasconcelos Prado")
    for person in (cast.doctor, cast.nurse):
        join_team(databases, made, person.id)
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(made, {"title": "Consulta", "diagnosis": DIAGNOSIS})
        create_record(session, cast.doctor.actor, field_cipher(settings), new)
    return made


@pytest.fixture
def doctor(app: Flask, databases: Databases, cast: Cast) -> SignedIn:
    return SignedIn(app, databases, cast.doctor)


@pytest.fixture(autouse=True)
def queue_is_empty(databases: Databases) -> Iterator[None]:
    empty_queue(databases)
    yield
    empty_queue(databases)
