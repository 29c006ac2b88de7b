"""People who write records, at browsers of their own."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from config import Principal, Settings
from models import MedicalRecord
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, Person, join_team, make_patient
from tests.web.writing.writer import MakeRecord, Open, Writer


@pytest.fixture
def open_as(app: Flask, databases: Databases, cast: Cast) -> Open:
    def open_browser(who: str | Person) -> Writer:
        person = cast.people[who] if isinstance(who, str) else who
        writer = Writer(app)
        writer.client.set_cookie("sigilo", open_session(databases, person), domain="localhost")
        return writer

    return open_browser


@pytest.fixture
def doctor(open_as: Open) -> Writer:
    return open_as("doctor")


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient of the doctor's and the nurse's."""
    made = make_patient(databases, settings, "Beatriz Ueda", mother_name="Sônia Ueda")
    join_team(databases, made, cast.doctor.id)
    join_team(databases, made, cast.nurse.id)
    return made


@pytest.fixture
def make_record(databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID) -> MakeRecord:
    def make(author: str = "doctor", *, closed: bool = False, **content: Any) -> uuid.UUID:
        with databases.session(Principal.STAFF) as session:
            new = NewRecord(patient_id, {"title": "Retorno", "notes": "PA 160 × 100", **content})
            made = create_record(session, cast.people[author].actor, field_cipher(settings), new).record.id
            if closed:
                past = datetime.now(UTC) - timedelta(hours=1)
                session.execute(update(MedicalRecord).where(MedicalRecord.id == made).values(closes_at=past))
            return made

    return make
