"""SECURITY 19: every route × every role × own, foreign and unknown object, from the URL map.

A route without a line in ``access_table`` fails, so a new route needs an expectation.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from config import Principal, Settings
from models import ApiToken, ImportJob, MedicalRecord, Notification, Visit
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.factories.alert import make_alert
from tests.factories.backup import make_backup
from tests.factories.cast import Cast, join_team, make_patient, make_person
from tests.factories.dead_letter import make_dead_letter
from tests.factories.emergency import make_grant
from tests.factories.question import make_question
from tests.web.access_table import ACTORS, SESSION_ONLY, TABLE
from web.guards import route_table

# What the guards lead to is measured where it is tested; here it runs ten times over.
pytestmark = pytest.mark.unmeasured

UNKNOWN = uuid.UUID("01900000-0000-7000-8000-00000000dead")


def guarded_routes(app: Flask, *, is_api: bool) -> set[tuple[str, str]]:
    return {
        (method, route.rule)
        for route in route_table(app).values()
        for method in route.methods
        if route.guard.signed_in and route.is_api is is_api
    }


def test_security_19_every_guarded_route_has_an_expectation(app: Flask) -> None:
    routes = guarded_routes(app, is_api=True)
    assert routes - set(TABLE) - SESSION_ONLY == set(), "routes without an expectation"
    assert set(TABLE) | SESSION_ONLY <= routes, "expectations without a route"


class Scene:
    """Objects of a patient like the cast's, made anew for each case so that no case needs another's leftovers."""

    def __init__(
        self, databases: Databases, settings: Settings, cast: Cast, *,
        joins: bool = False, asks: bool = False, is_read: bool = False,
    ) -> None:
        """``joins``: the colleague is on the patient's care team; ``asks``: the doctor asked the local model;
        ``is_read``: the team's own patient has a record."""
        self.databases, self.settings, self.cast = databases, settings, cast
        self.joins, self.asks, self.is_read = joins, asks, is_read
        self._made: dict[str, uuid.UUID] | None = None

    def ids(self) -> dict[str, uuid.UUID]:
        """Objects for the next request."""
        if self._made is None:
            self._made = self.make()
        return dict(self._made)

    def after(self, method: str, status: int) -> None:
        """A request that was let through may have changed them, unless it is a GET (SECURITY 15)."""
        if method != "GET" and status < 400:
            self._made = None

    def make(self) -> dict[str, uuid.UUID]:
        cast, databases = self.cast, self.databases
        patient = cast.patient_id
        with databases.session(Principal.STAFF) as session:
            new = NewRecord(patient, {"title": "Consulta", "diagnosis": "Cefaleia em salvas"})
            record = create_record(session, cast.doctor.actor, field_cipher(self.settings), new).record.id
            # Whatever earlier cases left open or inactive is put aside: one open visit a patient.
            session.execute(
                update(Visit)
                .where(Visit.patient_id == patient, Visit.status.in_(["WAITING", "IN_CARE"]))
                .values(status="DONE", closed_at=datetime.now(UTC))
            )
        other = make_patient(databases, self.settings, "Alguém")
        for person in (cast.doctor, cast.nurse):
            join_team(databases, other, person.id)
        with databases.session(Principal.STAFF) as session:
            visit = Visit(patient_id=other, reason="Febre", priority="NORMAL", checked_in_by=cast.reception.id)
            session.add(visit)
        grant = make_grant(databases, cast.doctor2, patient)
        notice = Notification(user_id=cast.doctor.id, kind="patient.break_glass", patient_id=patient, subject_id=grant)
        with databases.session(Principal.STAFF) as session:
            session.add(notice)
        colleague = make_person(databases, cast.nurse.actor.role, "Colega")
        own = self.patient_with_team()
        if self.is_read:
            with databases.session(Principal.STAFF) as session:
                new = NewRecord(own, {"title": "Consulta", "diagnosis": "Cefaleia em salvas"})
                create_record(session, cast.doctor.actor, field_cipher(self.settings), new)
        for each in (patient, own) if self.joins else ():
            join_team(databases, each, colleague.id)
        with databases.session(Principal.STAFF) as session:
            job = ImportJob(state="RUNNING", format="csv", source_digest=b"x")
            session.add(job)
            token = session.scalars(select(ApiToken.id).where(ApiToken.user_id == colleague.id)).one()
        asked = {"question_id": make_question(databases, self.settings, cast.doctor, patient)} if self.asks else {}
        return asked | {
            "record_id": record, "patient_id": patient, "visit_id": visit.id, "user_id": colleague.id,
            "request_id": colleague.id,  # of a role: behind the password typed again, so none is needed
            "other": other, "team_patient": own, "grant_id": grant, "notification_id": notice.id,
            "job_id": job.id, "token_id": token, "letter_id": make_dead_letter(databases),
            "backup_id": make_backup(databases), "alert_id": make_alert(databases, cast.doctor2),
        }  # fmt: skip

    def patient_with_team(self) -> uuid.UUID:
        """A patient with the cast's care team and responsible doctor, whom a case may inactivate."""
        cast = self.cast
        patient = make_patient(self.databases, self.settings, "Zeca Efêmero", responsible_id=cast.doctor.id)
        join_team(self.databases, patient, cast.doctor.id, "RESPONSIBLE")
        join_team(self.databases, patient, cast.nurse.id)
        return patient


def request_for(method: str, rule: str, ids: dict[str, uuid.UUID]) -> tuple[str, Any]:
    """(path, JSON body) of a request that is fine in itself, so that only access decides."""
    patient = str(ids["patient_id"])
    bodies: dict[tuple[str, str], Any] = {
        ("POST", "/api/medical-records"): {"patientId": patient, "title": "Consulta"},
        ("POST", "/api/medical-records/search"): {"q": "consulta"},
        ("PUT", "/api/medical-records/<uuid:record_id>"): {"notes": "n", "version": 1},
        ("DELETE", "/api/medical-records/<uuid:record_id>"): {"reason": "registro em duplicidade"},
        ("POST", "/api/medical-records/<uuid:record_id>/restore"): {"reason": "era válido"},
        ("POST", "/api/patients"): {"fullName": "Nova Pessoa", "sex": "UNKNOWN"},
        ("POST", "/api/patients/search"): {"q": "zeca"},
        ("PUT", "/api/patients/<uuid:patient_id>"): {"phone": "11 5555-0199", "version": 1},
        ("DELETE", "/api/patients/<uuid:patient_id>"): {"reason": "cadastro em duplicidade"},
        ("POST", "/api/patients/<uuid:patient_id>/restore"): {"reason": "era válido"},
        ("POST", "/api/patients/<uuid:patient_id>/allergies"): {"substance": "Dipirona"},
        ("POST", "/api/patients/<uuid:patient_id>/care-team"): {"userId": str(ids["user_id"])},
        ("POST", "/api/patients/<uuid:patient_id>/break-glass"): {"reason": "Emergência no pronto-socorro"},
        ("POST", "/api/visits"): {"patientId": patient, "reason": "Febre", "priority": "NORMAL"},
        ("POST", "/api/visits/<uuid:visit_id>/close"): {},
    }
    path = rule.replace("<int:number>", "1")
    for name, value in ids.items():
        path = path.replace(f"<uuid:{name}>", str(value))
    return path, bodies.get((method, rule))


# These change the patient for the next case, or a patient's own portal has no part in them.
ON_A_PATIENT_OF_THEIR_OWN = {
    ("PUT", "/api/patients/<uuid:patient_id>"),
    ("DELETE", "/api/patients/<uuid:patient_id>"),
    ("POST", "/api/patients/<uuid:patient_id>/restore"),
    ("POST", "/api/visits"),
    ("POST", "/api/patients/<uuid:patient_id>/break-glass"),
    ("POST", "/api/patients/<uuid:patient_id>/care-team"),
    ("DELETE", "/api/patients/<uuid:patient_id>/care-team/<uuid:user_id>"),
}


@pytest.mark.parametrize(("method", "rule"), sorted(TABLE))
def test_security_19_access_matrix(
    client: FlaskClient, databases: Databases, settings: Settings, cast: Cast, method: str, rule: str
) -> None:
    expected = TABLE[method, rule]
    scene = Scene(databases, settings, cast, joins="care-team/<uuid:user_id>" in rule)
    wrong: list[str] = []
    for name in ACTORS:
        headers = {} if name == "anonymous" else cast.people[name].headers
        ids = scene.ids()
        if (method, rule) in ON_A_PATIENT_OF_THEIR_OWN:
            ids["patient_id"] = ids["team_patient"]
        path, body = request_for(method, rule, ids)
        answer = client.open(path, method=method, json=body, headers=headers)
        scene.after(method, answer.status_code)
        if answer.status_code != expected.known[name]:
            wrong.append(f"{name}: known {answer.status_code}, expected {expected.known[name]}: {answer.text[:150]}")
        if expected.unknown is not None:
            path, body = request_for(method, rule, dict.fromkeys(ids, UNKNOWN))
            answer = client.open(path, method=method, json=body, headers=headers)
            if answer.status_code != expected.unknown[name]:
                wrong.append(f"{name}: unknown {answer.status_code}, expected {expected.unknown[name]}")
    assert wrong == []


@pytest.mark.parametrize("scope", ["records:read", "visits:read"])
def test_security_22_a_token_does_only_what_its_scopes_say(
    client: FlaskClient, databases: Databases, cast: Cast, scope: str
) -> None:
    narrow = make_person(databases, cast.doctor.actor.role, "Token Estreito", scopes=[scope])
    join_team(databases, cast.patient_id, narrow.id)
    answers = {
        path: client.get(path, headers=narrow.headers).status_code
        for path in ("/api/medical-records", "/api/visits", "/api/patients", "/api/audit-events", "/api/me")
    }
    allowed = {"records:read": "/api/medical-records", "visits:read": "/api/visits"}[scope]
    assert answers == {path: 200 if path in (allowed, "/api/me") else 403 for path in answers}
    assert (
        client.post(
            f"/api/patients/{cast.patient_id}/break-glass", json={"reason": "x" * 20}, headers=narrow.headers
        ).status_code
        == 403
    )


def test_security_22_an_expired_or_revoked_token_is_nobody(
    client: FlaskClient, databases: Databases, cast: Cast
) -> None:
    from models import ApiToken

    for column in ("expires_at", "revoked_at"):
        person = make_person(databases, cast.doctor.actor.role, "Vencido")
        assert client.get("/api/me", headers=person.headers).status_code == 200
        with databases.session(Principal.STAFF) as session:
            token = session.get_one(ApiToken, person.token_id)
            setattr(token, column, datetime.now(UTC) - timedelta(seconds=1))
        assert client.get("/api/me", headers=person.headers).status_code == 401


def test_the_scene_stands_on_real_rows(databases: Databases, settings: Settings, cast: Cast) -> None:
    ids = Scene(databases, settings, cast).make()
    with databases.session(Principal.STAFF) as session:
        assert session.get(MedicalRecord, ids["record_id"]) is not None
        assert session.get(MedicalRecord, UNKNOWN) is None
