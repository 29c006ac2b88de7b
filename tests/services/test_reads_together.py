"""The reads of a patient's page commit together, and record what they refuse."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from config import Principal
from models.engine import Databases
from services.allergy_list import list_allergies
from services.audited_read import together
from services.errors import NotFound
from services.field_encryption import FieldCipher
from services.patient_get import get_patient
from services.record_list import RecordFilters, list_records
from tests.factories.cast import Cast


def test_what_a_patients_page_reads_is_one_transaction(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    before = _events(databases, cast.patient.id)
    with together(databases, cast.patient.actor) as own:
        get_patient(own, cast.patient.actor, cipher, cast.patient_id)
        list_allergies(own, cast.patient.actor, cast.patient_id)
        list_records(own, cast.patient.actor, RecordFilters(patient_id=cast.patient_id))
    added = {event: written for event, written in _events(databases, cast.patient.id).items() if event not in before}
    assert len(added) == 3 and len(set(added.values())) == 1


def test_a_refusal_among_them_is_recorded_with_what_was_read(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    before = _events(databases, cast.patient.id)

    def look() -> None:
        with together(databases, cast.patient.actor) as own:
            get_patient(own, cast.patient.actor, cipher, cast.patient_id)
            get_patient(own, cast.patient.actor, cipher, cast.stranger_id)

    with pytest.raises(NotFound):
        look()
    added = _events(databases, cast.patient.id).keys() - before.keys()
    assert sorted(_outcome(databases, event) for event in added) == ["refused", "success"]


def test_nothing_is_left_open(databases: Databases, cast: Cast) -> None:
    with together(databases, cast.patient.actor) as own:
        list_records(own, cast.patient.actor, RecordFilters())
    with databases.autocommit(Principal.PATIENT) as connection:
        row = connection.first_row("SELECT current_setting('sigilo.patient_id', true) AS patient", {})
    assert row is not None and not row["patient"]


def _events(databases: Databases, user_id: uuid.UUID) -> dict[uuid.UUID, str]:
    """Event → the transaction that wrote it."""
    with databases.session(Principal.WORKER) as session:
        statement = text("SELECT id, xmin::text FROM audit_outbox WHERE actor_id = :user")
        return {row.id: row.xmin for row in session.execute(statement, {"user": user_id})}


def _outcome(databases: Databases, event_id: uuid.UUID) -> str:
    with databases.session(Principal.WORKER) as session:
        return str(session.scalar(text("SELECT outcome FROM audit_outbox WHERE id = :id"), {"id": event_id}))
