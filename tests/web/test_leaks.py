"""Ways around the mask that were open once: through negated words, visits and addenda."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient

from config import Settings
from models.engine import Databases
from tests.factories.cast import Cast, Person, make_patient

RECORDS, VISITS = "/api/medical-records", "/api/visits"


def write(client: FlaskClient, person: Person, patient_id: uuid.UUID, **values: Any) -> dict[str, Any]:
    body = {"patientId": str(patient_id), "title": "Consulta", **values}
    made = client.post(RECORDS, json=body, headers=person.headers)
    assert made.status_code == 201, made.get_json()
    shown: dict[str, Any] = made.get_json()
    return shown


def test_what_a_masked_text_does_not_say_finds_nothing_out(client: FlaskClient, cast: Cast) -> None:
    """A word of the title and *not* a word of the diagnosis: outside, only the title may decide."""
    word = f"zz{secrets.token_hex(6)}"
    write(client, cast.doctor, cast.patient_id, title=word, diagnosis="Xantoma")

    def found(person: Person, q: str) -> int:
        return len(client.post(f"{RECORDS}/search", json={"q": q}, headers=person.headers).get_json()["data"])

    assert [found(cast.doctor2, f"{word}{more}") for more in ("", " -xantoma", " -outro", " xantoma")] == [1, 1, 1, 0]
    assert [found(cast.doctor, f"{word}{more}") for more in ("", " -xantoma", " -outro", " xantoma")] == [1, 0, 1, 1]


def test_the_visit_of_a_restricted_record_does_not_tell_its_title(
    client: FlaskClient, cast: Cast, databases: Databases, settings: Settings
) -> None:
    patient_id = make_patient(databases, settings, "Fulana da Visita")
    body = {"patientId": str(patient_id), "reason": "Retorno HIV", "priority": "HIGH"}
    visit = client.post(VISITS, json=body, headers=cast.reception.headers).get_json()
    record_id = client.post(f"{VISITS}/{visit['id']}/call", headers=cast.doctor.headers).get_json()["recordId"]

    def row(person: Person, query: str) -> dict[str, Any]:
        rows = client.get(f"{VISITS}?limit=100&{query}", headers=person.headers).get_json()["data"]
        return next(row for row in rows if row["id"] == visit["id"])

    readers = [cast.doctor, cast.doctor2, cast.nurse, cast.reception]
    assert {row(person, "")["reason"] for person in readers} == {"Retorno HIV"}
    restrict = client.put(
        f"{RECORDS}/{record_id}", json={"version": 1, "restricted": True}, headers=cast.doctor.headers
    )
    assert restrict.status_code == 200
    closed = client.post(f"{VISITS}/{visit['id']}/close", headers=cast.reception.headers).get_json()
    assert closed["reason"] is None
    for person in (cast.doctor2, cast.nurse, cast.reception):
        shown = row(person, "status=DONE")
        assert shown["reason"] is None and shown["priority"] == "HIGH"
        masked = ["reason", "hasAllergies"] if person is cast.reception else ["reason"]
        assert shown["privacy"] == {"maskedFields": masked, "reason": "restricted"}
    assert row(cast.reception, "status=DONE") == closed
    assert row(cast.doctor, "status=DONE")["reason"] == "Retorno HIV"


def test_an_addendum_to_a_restricted_record_is_restricted(client: FlaskClient, cast: Cast) -> None:
    record = write(client, cast.doctor, cast.patient_id, restricted=True)
    addendum = write(client, cast.nurse, cast.patient_id, title="Carga viral", amendsId=record["id"])
    outside = client.get(f"{RECORDS}/{addendum['id']}", headers=cast.doctor2.headers).get_json()
    assert (outside["title"], outside["privacy"]["reason"]) == (None, "restricted")
    lifted = {"version": 1, "restricted": False}
    answer = client.put(f"{RECORDS}/{addendum['id']}", json=lifted, headers=cast.nurse.headers)
    assert [error["pointer"] for error in answer.get_json()["errors"]] == ["/restricted"]
    body = {"patientId": str(cast.patient_id), "title": "Outro", "amendsId": record["id"], "restricted": False}
    answer = client.post(RECORDS, json=body, headers=cast.nurse.headers)
    assert [error["pointer"] for error in answer.get_json()["errors"]] == ["/restricted"]


@pytest.mark.parametrize("kind", ["CONSULTATION", "EXAM"])
def test_a_nurse_makes_no_consultation_of_a_triage_note(client: FlaskClient, cast: Cast, kind: str) -> None:
    note = write(client, cast.nurse, cast.patient_id, kind="TRIAGE")
    url = f"{RECORDS}/{note['id']}"
    answer = client.put(url, json={"version": 1, "kind": kind}, headers=cast.nurse.headers)
    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (403, "/kind")
    same = {"version": 1, "kind": "TRIAGE", "notes": "PA 12x8"}
    assert client.put(url, json=same, headers=cast.nurse.headers).status_code == 200
