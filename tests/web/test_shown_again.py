"""A write that changes nothing shows what is there, so it is in the trail as the read it is (invariant 2)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from config import Principal, Settings
from models import AuditOutbox
from models.base import VERSION_MAX
from models.engine import Databases
from tests.factories.cast import Cast, Person, join_team, make_patient

RECORDS, PATIENTS = "/api/medical-records", "/api/patients"
Events = Callable[[], list[tuple[str, uuid.UUID | None, str | None]]]


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Fulana de Novo")
    for person in (cast.doctor, cast.nurse):
        join_team(databases, made, person.id)
    return made


@pytest.fixture
def events(databases: Databases, patient_id: uuid.UUID) -> Events:
    """(action, actor, basis) of every event about the patient, oldest first."""

    def find() -> list[tuple[str, uuid.UUID | None, str | None]]:
        query = select(AuditOutbox.action, AuditOutbox.actor_id, AuditOutbox.basis)
        with databases.session(Principal.WORKER) as session:
            rows = session.execute(query.where(AuditOutbox.patient_id == patient_id).order_by(AuditOutbox.id))
            return [(row[0], row[1], row[2]) for row in rows]

    return find


def write(client: FlaskClient, person: Person, patient_id: uuid.UUID) -> str:
    body = {"patientId": str(patient_id), "title": "Consulta", "diagnosis": "Asma"}
    made = client.post(RECORDS, json=body, headers=person.headers)
    assert made.status_code == 201
    return f"{RECORDS}/{made.get_json()['id']}"


@pytest.mark.parametrize("change", [{}, {"title": "Consulta"}])
def test_a_record_changed_to_what_it_is(
    client: FlaskClient, cast: Cast, patient_id: uuid.UUID, events: Events, change: dict[str, Any]
) -> None:
    url = write(client, cast.doctor, patient_id)
    person = cast.doctor if change else cast.nurse
    answer = client.put(url, json={"version": 1, **change}, headers=person.headers)
    assert (answer.status_code, answer.get_json()["diagnosis"]) == (200, "Asma")
    assert events()[1:] == [("medical_record.read", person.id, "care-team")]


def test_a_closed_record_closed_again(client: FlaskClient, cast: Cast, patient_id: uuid.UUID, events: Events) -> None:
    url = write(client, cast.doctor, patient_id)
    for _ in range(2):
        assert client.post(f"{url}/close", headers=cast.doctor.headers).status_code == 200
    assert [event[0] for event in events()[1:]] == ["medical_record.close", "medical_record.read"]


def test_a_patient_corrected_to_what_they_are(
    client: FlaskClient, cast: Cast, patient_id: uuid.UUID, events: Events
) -> None:
    answer = client.put(f"{PATIENTS}/{patient_id}", json={"version": 1}, headers=cast.nurse.headers)
    assert (answer.status_code, answer.get_json()["fullName"]) == (200, "Fulana de Novo")
    assert events() == [("patient.read", cast.nurse.id, "care-team")]


@pytest.mark.parametrize(
    ("url", "body", "kind"),
    [
        (RECORDS, {"patientId": "{patient}", "title": "Consulta"}, "medical_record"),
        ("/api/visits", {"patientId": "{patient}", "reason": "Tosse", "priority": "LOW"}, "visit"),
        (PATIENTS + "/{patient}/allergies", {"substance": "Dipirona"}, "allergy"),
    ],
)
def test_a_replayed_create(
    client: FlaskClient, cast: Cast, patient_id: uuid.UUID, events: Events, url: str, body: dict[str, str], kind: str
) -> None:
    headers = {**cast.doctor.headers, "Idempotency-Key": uuid.uuid4().hex}
    sent = {name: value.format(patient=patient_id) for name, value in body.items()}
    for _ in range(2):
        assert client.post(url.format(patient=patient_id), json=sent, headers=headers).status_code == 201
    assert [event[0] for event in events()] == [f"{kind}.create", f"{kind}.read"]


def test_a_replayed_registration(client: FlaskClient, cast: Cast, databases: Databases) -> None:
    headers = {**cast.doctor.headers, "Idempotency-Key": uuid.uuid4().hex}
    body = {"fullName": f"Fulano {uuid.uuid4().hex}", "sex": "OTHER"}
    made, _ = (client.post(PATIENTS, json=body, headers=headers).get_json() for _ in range(2))
    query = select(AuditOutbox.action).where(AuditOutbox.entity_id == uuid.UUID(made["id"])).order_by(AuditOutbox.id)
    with databases.session(Principal.WORKER) as session:
        assert session.scalars(query).all() == ["patient.create", "patient.read"]


def test_a_version_that_no_row_can_have_is_pointed_at(client: FlaskClient, cast: Cast, patient_id: uuid.UUID) -> None:
    record = write(client, cast.doctor, patient_id)
    for url, change in ((record, {"title": "Outra"}), (f"{PATIENTS}/{patient_id}", {"phone": "11 5555-0101"})):
        answer = client.put(url, json={"version": VERSION_MAX + 1, **change}, headers=cast.doctor.headers)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.get_json()["errors"]] == ["/version"]
