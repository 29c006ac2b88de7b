"""A clinic's start pages, with whom to open them as."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from config import Principal, Settings
from models import Visit
from models.engine import Databases
from services.field_encryption import field_cipher
from services.visit_create import NewVisit, create_visit
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, Person, join_team, make_patient
from tests.web.conftest import Browser

REASON = "Dor no peito ao subir escada"


class Room:
    """People with browsers, and patients who wait."""

    def __init__(self, app: Flask, databases: Databases, settings: Settings, cast: Cast) -> None:
        self.app, self.databases, self.settings, self.cast = app, databases, settings, cast
        self.cipher = field_cipher(settings)

    def browser(self, person: Person) -> Browser:
        made = Browser(self.app)
        made.client.set_cookie("sigilo", open_session(self.databases, person), domain="localhost")
        return made

    def page(self, name: str, path: str = "/") -> str:
        answer = self.browser(self.cast.people[name]).get(path)
        assert answer.status_code == 200, answer.get_data(as_text=True)[:300]
        return answer.get_data(as_text=True)

    def arrive(self, name: str = "Zélia da Sala", *, minutes: int = 0, team: bool = False, **values: object) -> Visit:
        patient_id = make_patient(self.databases, self.settings, name, birth_date=date(1980, 5, 4), sex="FEMALE")
        if team:
            join_team(self.databases, patient_id, self.cast.nurse.id)
        with self.databases.session(Principal.STAFF) as session:
            new = NewVisit(patient_id, **({"reason": REASON, "priority": "NORMAL"} | values))  # type: ignore[arg-type]
            visit = create_visit(session, self.cast.reception.actor, self.cipher, new)[0]
            visit.arrived_at = datetime.now(UTC) - timedelta(minutes=minutes)
        return visit

    def visit(self, visit_id: uuid.UUID) -> Visit:
        with self.databases.session(Principal.STAFF) as session:
            return session.get_one(Visit, visit_id)


@pytest.fixture
def room(app: Flask, databases: Databases, settings: Settings, cast: Cast) -> Room:
    """Nobody else waits."""
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(Visit).where(Visit.status.in_(["WAITING", "IN_CARE"])).values(
                status="DONE", closed_at=datetime.now(UTC)
            )
        )  # fmt: skip
    return Room(app, databases, settings, cast)
