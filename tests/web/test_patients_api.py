"""The patients, care-team, allergies and break-glass calls of the contract, over the real application."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from config import Principal, Settings
from models import AuditOutbox, IdentifierLookup, Notification, Patient, PatientVersion
from models.engine import Databases
from models.user import Role
from tests.factories.cast import Cast, Person, join_team, make_cpf, make_patient, make_person

URL = "/api/patients"
REASON = "Paciente inconsciente no pronto-socorro"


def register(client: FlaskClient, person: Person, **values: Any) -> Any:
    body = {"fullName": "Paciente da API", "sex": "UNKNOWN", **values}
    return client.post(URL, json=body, headers=person.headers)


def patients(databases: Databases) -> int:
    with databases.session(Principal.STAFF) as session:
        return session.scalar(select(func.count()).select_from(Patient)) or 0


def test_register_answers_201_with_location_and_etag(client: FlaskClient, cast: Cast) -> None:
    cpf = make_cpf()
    answer = register(
        client, cast.doctor, cpf=cpf, birthDate="1980-02-29", birthDateEstimated=True, phone="", address="Rua A, 1"
    )
    assert answer.status_code == 422, "an empty text says nothing; leave it out, or send null"
    answer = register(client, cast.doctor, cpf=cpf, birthDate="1980-02-29", birthDateEstimated=True, phone=None)
    assert answer.status_code == 201 and answer.headers["ETag"] == '"1"'
    shown = answer.get_json()
    assert answer.headers["Location"] == f"{URL}/{shown['id']}"
    assert shown.pop("homonyms") is not None
    assert client.get(answer.headers["Location"], headers=cast.doctor.headers).get_json() == shown
    assert shown["cpf"] == f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}" and shown["birthDate"] == "1980-02-29"
    assert uuid.UUID(shown["id"]).version == 7
    outside = client.get(answer.headers["Location"], headers=cast.doctor2.headers)
    assert outside.get_json()["cpf"].startswith("***.") and outside.headers["ETag"].startswith('"1-')
    assert outside.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"fullName": ""}, "/fullName"),
        ({"fullName": " \t"}, "/fullName"),
        ({"fullName": None}, "/fullName"),
        ({"fullName": "x" * 201}, "/fullName"),
        ({"sex": "F"}, "/sex"),
        ({"birthDate": "29/02/1980"}, "/birthDate"),
        ({"birthDate": "2999-01-01"}, "/birthDate"),
        ({"birthDateEstimated": "yes"}, "/birthDateEstimated"),
        ({"cpf": "11111111111"}, "/cpf"),
        ({"cpf": 52998224725}, "/cpf"),
        ({"cns": "100000000000015"}, "/cns"),
        ({"email": "não é"}, "/email"),
        ({"responsibleId": "x"}, "/responsibleId"),
        ({"motherName": "a\0b"}, "/motherName"),
    ],
)
def test_bad_fields_are_pointed_at_and_change_nothing(
    client: FlaskClient, databases: Databases, cast: Cast, change: dict[str, Any], pointer: str
) -> None:
    before = patients(databases)
    answer = register(client, cast.doctor, **change)
    assert answer.status_code == 422 and answer.mimetype == "application/problem+json"
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]
    assert patients(databases) == before


@pytest.mark.parametrize(
    "extra",
    [
        {"id": str(uuid.uuid4())}, {"version": 7}, {"createdBy": str(uuid.uuid4())}, {"deletedAt": None},
        {"auditKeyCipher": "x"}, {"source": "x"}, {"deceasedAt": None},
    ],
)  # fmt: skip
def test_security_20_extra_fields_change_nothing(
    client: FlaskClient, databases: Databases, cast: Cast, extra: dict[str, Any]
) -> None:
    before = patients(databases)
    assert register(client, cast.doctor, **extra).status_code == 422
    patient = register(client, cast.doctor).get_json()
    if "deceasedAt" not in extra and "version" not in extra:
        answer = client.put(f"{URL}/{patient['id']}", json={"version": 1, **extra}, headers=cast.doctor.headers)
        assert answer.status_code == 422
    assert patients(databases) == before + 1


def test_security_23_a_duplicate_is_409_and_says_nothing(client: FlaskClient, databases: Databases, cast: Cast) -> None:
    cpf, person = make_cpf(), make_person(databases, Role.DOCTOR, "Sondadora")
    first = register(client, cast.reception, cpf=cpf, fullName="Dona do Cadastro")
    answer = register(client, person, cpf=cpf)
    assert answer.status_code == 409
    for secret in (cpf, "Dona", first.get_json()["id"]):
        assert secret not in answer.text
    with databases.session(Principal.STAFF) as session:
        query = select(func.count()).select_from(IdentifierLookup).where(IdentifierLookup.user_id == person.id)
        assert session.scalar(query) == 1
    for _ in range(4):
        assert register(client, person, cpf=cpf).status_code == 409
    spent = register(client, person, cpf=make_cpf())
    assert spent.status_code == 429 and int(spent.headers["Retry-After"]) > 3500
    assert register(client, person).status_code == 201, "registering without a number goes on"


def test_homonyms_are_ids(client: FlaskClient, cast: Cast) -> None:
    name = f"Homônima {uuid.uuid4().hex}"
    first = register(client, cast.doctor, fullName=name).get_json()
    again = register(client, cast.reception, fullName=name.replace("ô", "o").upper()).get_json()
    assert first["homonyms"] == [] and again["homonyms"] == [first["id"]]


def test_update_wants_a_version_and_says_what_conflicts(client: FlaskClient, cast: Cast) -> None:
    patient = register(client, cast.doctor, phone="1").get_json()
    url, headers = f"{URL}/{patient['id']}", cast.doctor.headers
    assert client.put(url, json={"phone": "2"}, headers=headers).status_code == 428
    first = client.put(url, json={"phone": "2"}, headers={**headers, "If-Match": '"1"'})
    assert (first.status_code, first.headers["ETag"], first.get_json()["phone"]) == (200, '"2"', "2")
    stale = client.put(url, json={"phone": "3", "email": "a@b.c", "version": 1}, headers=headers)
    assert stale.status_code == 409
    assert (stale.get_json()["currentVersion"], stale.get_json()["conflictingFields"]) == (2, ["phone"])
    died = client.put(url, json={"deceasedAt": "2026-01-02T03:04:05-03:00", "version": 2}, headers=headers)
    assert died.get_json()["deceasedAt"] == "2026-01-02T06:04:05Z"


def test_of_many_who_change_the_same_version_one_succeeds(app: Flask, databases: Databases, cast: Cast) -> None:
    patient = register(app.test_client(), cast.doctor).get_json()
    statuses: list[int] = []

    def change(number: int) -> None:
        body = {"phone": f"{number}", "version": 1}
        answer = app.test_client().put(f"{URL}/{patient['id']}", json=body, headers=cast.doctor.headers)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(statuses) == [200, 409, 409, 409, 409]
    with databases.session(Principal.STAFF) as session:
        query = select(func.count()).where(PatientVersion.patient_id == uuid.UUID(patient["id"]))
        assert session.scalar(query) == 2


def test_security_39_a_masked_copy_sent_back_changes_nothing(client: FlaskClient, cast: Cast) -> None:
    patient = register(client, cast.doctor, cpf=make_cpf(), passport="FD123456").get_json()
    url = f"{URL}/{patient['id']}"
    for name in ("doctor2", "nurse2", "admin"):
        headers = cast.people[name].headers
        masked = client.get(url, headers=headers)
        for body in (masked.get_json(), {"cpf": masked.get_json()["cpf"]}, {"cpf": None, "passport": None}):
            answer = client.put(url, json=body, headers={**headers, "If-Match": masked.headers["ETag"]})
            assert answer.status_code == 403, (name, answer.text)
    unchanged = client.get(url, headers=cast.doctor.headers).get_json()
    assert unchanged == {name: value for name, value in patient.items() if name != "homonyms"}


def test_inactivate_and_restore(client: FlaskClient, cast: Cast) -> None:
    url, headers = f"{URL}/{register(client, cast.doctor).get_json()['id']}", cast.doctor.headers
    assert client.delete(url, json={"reason": " "}, headers=headers).status_code == 422
    assert client.delete(url, json={"reason": "engano"}, headers={**headers, "If-Match": '"7"'}).status_code == 409
    assert client.delete(url, json={"reason": "engano"}, headers=headers).status_code == 204
    assert client.get(url, headers=headers).status_code == 410
    assert client.get(f"{url}?includeDeleted=true", headers=headers).get_json()["deletedAt"] is not None
    assert client.put(url, json={"phone": "1", "version": 2}, headers=headers).status_code == 410
    for path in ("allergies", "care-team"):
        assert client.get(f"{url}/{path}", headers=headers).status_code == 410
    restored = client.post(f"{url}/restore", json={"reason": "era válido"}, headers=headers)
    assert (restored.status_code, restored.get_json()["deletedAt"]) == (200, None)


def test_security_38_etags_belong_to_a_mask(
    client: FlaskClient, databases: Databases, settings: Settings, cast: Cast
) -> None:
    patient_id = make_patient(databases, settings, "Etiqueta", cpf=make_cpf())
    url = f"{URL}/{patient_id}"
    masked = client.get(url, headers=cast.nurse2.headers).headers["ETag"]
    again = client.get(url, headers={**cast.nurse2.headers, "If-None-Match": masked})
    assert (again.status_code, again.data) == (304, b"")
    join_team(databases, patient_id, cast.nurse2.id)
    opened = client.get(url, headers={**cast.nurse2.headers, "If-None-Match": masked})
    assert (opened.status_code, opened.headers["ETag"]) == (200, '"1"')


def test_an_idempotency_key_registers_once(app: Flask, client: FlaskClient, databases: Databases, cast: Cast) -> None:
    headers = {**cast.nurse.headers, "Idempotency-Key": uuid.uuid4().hex}
    body = {"fullName": "Uma Vez", "sex": "OTHER", "cpf": make_cpf()}
    before, ids = patients(databases), []

    def send() -> None:
        answer = app.test_client().post(URL, json=body, headers=headers)
        assert answer.status_code == 201
        ids.append(answer.get_json()["id"])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(ids) == 4 and len(set(ids)) == 1 and patients(databases) == before + 1
    other = client.post(URL, json={**body, "fullName": "Outra"}, headers=headers)
    assert other.status_code == 422


def test_search_by_name_and_number(client: FlaskClient, databases: Databases, cast: Cast) -> None:
    cpf = make_cpf()
    patient = register(client, cast.reception, fullName="Zenóbia d'Ávila", cpf=cpf).get_json()

    def search(person: Person, **body: Any) -> Any:
        return client.post(f"{URL}/search", json=body, headers=person.headers)

    found = search(cast.nurse2, q="zenobia avil").get_json()
    assert [row["id"] for row in found["data"]] == [patient["id"]] and found["nextCursor"] is None
    assert found["data"][0]["cpf"].startswith("***.")
    assert search(cast.reception, cpf=cpf).get_json()["data"][0]["id"] == patient["id"]
    for body in ({}, {"q": "!!!"}, {"cpf": "123"}, {"q": None}, {"q": "a", "limit": 0}, {"q": "a", "cursor": "x"}):
        assert search(cast.reception, **body).status_code == 422, body
    limited = make_person(databases, Role.ADMIN, "Curioso")
    for _ in range(5):
        assert search(limited, cpf=make_cpf()).status_code == 200
    refused = search(limited, cpf=cpf)
    assert refused.status_code == 429 and cpf not in refused.text
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert search(cast.patient, q="zenobia").status_code == 403


def test_list_pages_by_name(client: FlaskClient, cast: Cast) -> None:
    made = {register(client, cast.reception, fullName=f"{name} Alfabética").get_json()["id"] for name in "çaÁb"}
    seen, cursor, names = [], "", []
    while cursor is not None:
        page = client.get(f"{URL}?limit=7&cursor={cursor}", headers=cast.reception.headers).get_json()
        seen += [row["id"] for row in page["data"]]
        names += [row["fullName"] for row in page["data"] if row["id"] in made]
        cursor = page["nextCursor"]
    assert len(seen) == len(set(seen)) and made <= set(seen)
    assert [name.split()[0] for name in names][2:] == ["b", "ç"]
    assert client.get(f"{URL}?limit=101", headers=cast.reception.headers).status_code == 422


def test_the_care_team_is_changed_by_others(client: FlaskClient, databases: Databases, cast: Cast) -> None:
    url = f"{URL}/{register(client, cast.doctor).get_json()['id']}/care-team"
    added = client.post(url, json={"userId": str(cast.nurse.id)}, headers=cast.doctor.headers)
    assert added.status_code == 201 and added.get_json()["origin"] == "ADDED"
    again = client.post(url, json={"userId": str(cast.nurse.id)}, headers=cast.reception.headers)
    assert (again.status_code, again.get_json()) == (200, added.get_json())
    for person, user in ((cast.doctor2, cast.doctor2), (cast.doctor, cast.doctor), (cast.nurse, cast.nurse2)):
        assert client.post(url, json={"userId": str(user.id)}, headers=person.headers).status_code == 403
    listed = client.get(url, headers=cast.doctor2.headers).get_json()["data"]
    assert [member["userId"] for member in listed] == [str(cast.doctor.id), str(cast.nurse.id)]
    assert client.delete(f"{url}/{cast.nurse.id}", headers=cast.reception.headers).status_code == 204
    assert client.delete(f"{url}/{cast.nurse.id}", headers=cast.reception.headers).status_code == 404
    responsible = f"{url}/{cast.doctor.id}"
    assert client.delete(responsible, headers=cast.reception.headers).status_code == 409
    body = {"responsibleId": str(cast.doctor2.id)}
    assert client.delete(responsible, data=json.dumps(body), headers=cast.reception.headers).status_code == 415
    assert client.delete(responsible, json=body, headers=cast.reception.headers).status_code == 204
    assert client.get(url, headers=cast.admin.headers).get_json()["data"][0]["origin"] == "RESPONSIBLE"


def test_allergies_are_noted_by_the_team_and_hidden_from_the_desk(client: FlaskClient, cast: Cast) -> None:
    url = f"{URL}/{register(client, cast.doctor).get_json()['id']}/allergies"
    noted = client.post(url, json={"substance": "Dipirona", "severity": "SEVERE"}, headers=cast.doctor.headers)
    assert noted.status_code == 201 and noted.get_json()["privacy"]["maskedFields"] == []
    assert client.get(url, headers=cast.doctor2.headers).get_json()["data"] == [noted.get_json()]
    for person in (cast.reception, cast.admin):
        hidden = client.get(url, headers=person.headers)
        assert hidden.get_json()["data"] is None and "Dipirona" not in hidden.text
        assert "substance" in hidden.get_json()["privacy"]["maskedFields"]
    key = {**cast.doctor.headers, "Idempotency-Key": uuid.uuid4().hex}
    once, twice = (client.post(url, json={"substance": "Látex"}, headers=key).get_json() for _ in range(2))
    assert once == twice
    for body in ({}, {"substance": " "}, {"substance": "x", "severity": "LETHAL"}, {"substance": "x", "more": 1}):
        assert client.post(url, json=body, headers=cast.doctor.headers).status_code == 422


def test_breaking_the_glass(client: FlaskClient, databases: Databases, cast: Cast) -> None:
    url = f"{URL}/{register(client, cast.doctor, cpf=make_cpf()).get_json()['id']}"
    for body in ({}, {"reason": ""}, {"reason": "curto"}, {"reason": REASON, "preset": "CURIOSITY"}):
        assert client.post(f"{url}/break-glass", json=body, headers=cast.nurse2.headers).status_code == 422
    broken = client.post(
        f"{url}/break-glass", json={"reason": REASON, "preset": "EMERGENCY"}, headers=cast.nurse2.headers
    )
    assert broken.status_code == 201 and broken.get_json()["expiresAt"].endswith("Z")
    assert client.get(url, headers=cast.nurse2.headers).headers["ETag"] == '"1"'
    with databases.session(Principal.STAFF) as session:
        query = select(Notification.user_id).where(Notification.subject_id == uuid.UUID(broken.get_json()["id"]))
        assert cast.doctor.id in session.scalars(query).all()
    assert client.put(url, json={"phone": "1", "version": 1}, headers=cast.nurse2.headers).status_code == 403
    assert client.post(f"{url}/break-glass", json={"reason": REASON}, headers=cast.doctor.headers).status_code == 409


def test_refusals_are_in_the_trail(client: FlaskClient, databases: Databases, cast: Cast) -> None:
    patient_id = uuid.UUID(register(client, cast.doctor).get_json()["id"])
    client.put(f"{URL}/{patient_id}", json={"phone": "1", "version": 1}, headers=cast.doctor2.headers)
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.entity_id == patient_id, AuditOutbox.outcome == "refused")
        (event,) = session.scalars(query)
    assert (event.action, event.actor_id) == ("patient.update", cast.doctor2.id)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200))
def test_security_28_naughty_strings_round_trip(client: FlaskClient, cast: Cast, value: str) -> None:
    answer = register(client, cast.doctor, fullName=value, motherName=value, address=value)
    if not value.strip():
        assert answer.status_code == 422
        return
    assert answer.status_code == 201
    shown = client.get(answer.headers["Location"], headers=cast.doctor.headers).get_json()
    assert shown["fullName"] == shown["motherName"] == shown["address"] == value


def test_security_28_naughty_strings_break_no_search(client: FlaskClient, cast: Cast, shared_data: Path) -> None:
    for naughty in json.loads((shared_data / "hostile" / "naughty-strings.json").read_bytes()):
        for body in ({"q": naughty}, {"cpf": naughty}, {"q": "ana", "cns": naughty}):
            answer = client.post(f"{URL}/search", json=body, headers=cast.reception.headers)
            assert answer.status_code in (200, 422), (body, answer.text)


def test_security_23_many_duplicates_at_once_starve_nobody(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    """Each refusal is counted on the request's own connection, so a burst of them takes no second ones."""
    taken = make_cpf()
    make_patient(databases, settings, "Dona do Número", cpf=taken)
    prober = make_person(databases, cast.doctor2.actor.role, "Sonda")
    statuses: list[int] = []

    def register() -> None:
        body = {"fullName": "Sondada", "sex": "UNKNOWN", "cpf": taken}
        statuses.append(app.test_client().post("/api/patients", json=body, headers=prober.headers).status_code)

    threads = [threading.Thread(target=register) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [409] * 5 + [429] * 5
    with databases.session(Principal.WORKER) as session:
        refusals = session.scalar(
            select(func.count())
            .select_from(AuditOutbox)
            .where(
                AuditOutbox.actor_id == prober.id,
                AuditOutbox.action == "patient.lookup",
                AuditOutbox.outcome == "refused",
            )
        )
    assert refusals == 10
