"""The visits calls of the contract, over the real application."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from config import Settings
from models.engine import Databases
from models.user import Role
from tests.factories.cast import Cast, Person, make_patient, make_person

URL = "/api/visits"


@pytest.fixture
def patient_id(databases: Databases, settings: Settings) -> str:
    return str(make_patient(databases, settings, "Fulana da Fila", social_name="Bel"))


def check_in(client: FlaskClient, person: Person, patient_id: str, **values: Any) -> Any:
    body = {"patientId": patient_id, "reason": "Febre há 2 dias", "priority": "NORMAL", **values}
    return client.post(URL, json=body, headers=person.headers)


def worklist(client: FlaskClient, person: Person, query: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"{URL}?limit=3&cursor={cursor}&{query}", headers=person.headers).get_json()
        rows += page["data"]
        cursor = page["nextCursor"]
    return rows


def test_a_visit_over_the_api(client: FlaskClient, cast: Cast, patient_id: str) -> None:
    made = check_in(client, cast.reception, patient_id, priority="CRITICAL")
    assert made.status_code == 201
    visit = made.get_json()
    assert (visit["status"], visit["patientName"], visit["priority"]) == ("WAITING", "Bel", "CRITICAL")
    assert visit in worklist(client, cast.reception, "status=WAITING")
    (listed,) = (row for row in worklist(client, cast.doctor2, "status=WAITING") if row["id"] == visit["id"])
    differ = {name for name in visit if visit[name] != listed[name]}
    assert differ == {"hasAllergies", "privacy"}, "which reception may not know"
    record_url = "/api/medical-records"
    assert client.get(f"{record_url}?patientId={patient_id}", headers=cast.doctor2.headers).get_json()["data"] == []
    called = client.post(f"{URL}/{visit['id']}/call", headers=cast.doctor2.headers)
    assert called.status_code == 200
    assert (called.get_json()["status"], called.get_json()["doctorName"]) == ("IN_CARE", "Paulo Reis")
    record = client.get(f"{record_url}/{called.get_json()['recordId']}", headers=cast.doctor2.headers).get_json()
    assert (record["title"], record["visitId"], record["priority"]) == ("Febre há 2 dias", visit["id"], "CRITICAL")
    assert client.post(f"{URL}/{visit['id']}/call", headers=cast.doctor.headers).status_code == 409
    team = client.get(f"/api/patients/{patient_id}/care-team", headers=cast.doctor2.headers).get_json()["data"]
    assert [(member["name"], member["origin"], member["expiresAt"]) for member in team] == [
        ("Paulo Reis", "VISIT", None)
    ]
    closed = client.post(f"{URL}/{visit['id']}/close", json={"status": "DONE"}, headers=cast.reception.headers)
    assert (closed.status_code, closed.get_json()["status"]) == (200, "DONE")
    (member,) = client.get(f"/api/patients/{patient_id}/care-team", headers=cast.doctor2.headers).get_json()["data"]
    assert member["expiresAt"] is not None
    assert client.post(f"{URL}/{visit['id']}/close", headers=cast.reception.headers).status_code == 409
    assert visit["id"] in {row["id"] for row in worklist(client, cast.doctor2, "status=DONE")}
    assert visit["id"] not in {row["id"] for row in worklist(client, cast.doctor2)}


def test_closing_needs_no_body(client: FlaskClient, cast: Cast, patient_id: str) -> None:
    visit = check_in(client, cast.reception, patient_id).get_json()
    for body in ({"status": "WAITING"}, {"status": None}, {"state": "DONE"}):
        assert client.post(f"{URL}/{visit['id']}/close", json=body, headers=cast.reception.headers).status_code == 422
    closed = client.post(f"{URL}/{visit['id']}/close", headers=cast.reception.headers)
    assert (closed.status_code, closed.get_json()["status"]) == (200, "LEFT")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"reason": "  "}, "/reason"),
        ({"reason": "x" * 201}, "/reason"),
        ({"priority": "URGENT"}, "/priority"),
        ({"priority": None}, "/priority"),
        ({"doctorId": str(uuid.uuid4())}, "/doctorId"),
        ({"status": "DONE"}, "/status"),
    ],
)
def test_bad_fields_are_pointed_at(
    client: FlaskClient, cast: Cast, patient_id: str, change: dict[str, Any], pointer: str
) -> None:
    answer = check_in(client, cast.reception, patient_id, **change)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]
    assert worklist(client, cast.reception, "status=WAITING") == [
        row for row in worklist(client, cast.reception, "status=WAITING") if row["patientId"] != patient_id
    ]


def test_one_open_visit_and_an_idempotent_check_in(client: FlaskClient, cast: Cast, patient_id: str) -> None:
    headers = {**cast.reception.headers, "Idempotency-Key": uuid.uuid4().hex}
    body = {"patientId": patient_id, "reason": "Tosse", "priority": "LOW"}
    first = client.post(URL, json=body, headers=headers)
    assert client.post(URL, json=body, headers=headers).get_json() == first.get_json()
    assert client.post(URL, json=body, headers=cast.reception.headers).status_code == 409
    assert check_in(client, cast.reception, str(uuid.uuid4())).status_code == 404


def test_two_doctors_call_at_once(app: Flask, databases: Databases, cast: Cast, patient_id: str) -> None:
    visit = check_in(app.test_client(), cast.reception, patient_id).get_json()
    doctors = [make_person(databases, Role.DOCTOR, f"Doutora {n}") for n in range(4)]
    statuses: list[int] = []

    def call(person: Person) -> None:
        statuses.append(app.test_client().post(f"{URL}/{visit['id']}/call", headers=person.headers).status_code)

    threads = [threading.Thread(target=call, args=(person,)) for person in doctors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(statuses) == [200, 409, 409, 409]


def test_the_worklist_over_pages(client: FlaskClient, databases: Databases, settings: Settings, cast: Cast) -> None:
    made = {}
    for priority in ("LOW", "CRITICAL", "HIGH", "NORMAL", "CRITICAL"):
        patient = str(make_patient(databases, settings, "Da Fila"))
        made[check_in(client, cast.reception, patient, priority=priority).get_json()["id"]] = priority
    rows = worklist(client, cast.nurse, "status=WAITING")
    assert len(rows) == len({row["id"] for row in rows})
    assert [row["priority"] for row in rows if row["id"] in made] == ["CRITICAL", "CRITICAL", "HIGH", "NORMAL", "LOW"]
    assert {row["reason"] for row in worklist(client, cast.admin)} == {None}
    assert client.get(f"{URL}?status=GONE", headers=cast.nurse.headers).status_code == 422
    assert client.get(f"{URL}?cursor=bm9uc2Vuc2U", headers=cast.nurse.headers).status_code == 422
