"""The records calls of the contract, over the real application."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from config import Principal, Settings
from models import AuditOutbox, BreakGlassGrant, MedicalRecord, RecordVersion
from models.engine import Databases
from tests.factories.cast import Cast, Person, make_patient
from tests.web.signed_in import signed_in

URL = "/api/medical-records"
CLINICAL = {"diagnosis": "Hipertensão", "treatment": "Losartana", "notes": "Retorno", "cid10Codes": ["I10"]}


@pytest.fixture
def patient_id(cast: Cast) -> str:
    return str(cast.patient_id)


def create(client: FlaskClient, person: Person, patient_id: str, **values: Any) -> Any:
    return client.post(URL, json={"patientId": patient_id, "title": "Consulta", **values}, headers=person.headers)


def count(databases: Databases, model: Any, *where: Any) -> int:
    with databases.session(Principal.WORKER) as session:
        return int(session.scalar(select(func.count()).select_from(model).where(*where)) or 0)


def test_create_answers_201_with_location_and_etag(client: FlaskClient, cast: Cast, patient_id: str) -> None:
    answer = create(client, cast.doctor, patient_id, **CLINICAL, priority="HIGH", kind="RETURN")
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"1"'
    shown = answer.get_json()
    assert answer.headers["Location"] == f"{URL}/{shown['id']}"
    assert {name: shown[name] for name in CLINICAL} == CLINICAL
    assert shown["author"] == {"id": str(cast.doctor.id), "name": "Ana Moura", "council": "CRM-SP 123456"}
    assert (shown["status"], shown["version"], shown["priority"], shown["kind"]) == ("OPEN", 1, "HIGH", "RETURN")
    again = client.get(answer.headers["Location"], headers=cast.doctor.headers)
    assert again.get_json() == shown
    assert uuid.UUID(shown["id"]).version == 7


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"title": ""}, "/title"),
        ({"title": "  "}, "/title"),
        ({"title": None}, "/title"),
        ({"title": "x" * 201}, "/title"),
        ({"priority": "URGENT"}, "/priority"),
        ({"priority": None}, "/priority"),
        ({"kind": "ADDENDUM"}, "/amendsId"),
        ({"cid10Codes": ["I10", "not a code"]}, "/cid10Codes/1"),
        ({"occurredAt": "2026-01-01T10:00:00"}, "/occurredAt"),
        ({"occurredAt": "2999-01-01T10:00:00Z"}, "/occurredAt"),
        ({"patientId": "x"}, "/patientId"),
        ({"notes": "a\0b"}, "/notes"),
        ({"authorId": "01900000-0000-7000-8000-000000000001"}, "/authorId"),
        ({"version": 7}, "/version"),
        ({"restricted": "yes"}, "/restricted"),
    ],
)
def test_bad_fields_are_pointed_at_and_change_nothing(
    client: FlaskClient, databases: Databases, cast: Cast, patient_id: str, change: dict[str, Any], pointer: str
) -> None:
    before = count(databases, MedicalRecord)
    answer = client.post(URL, json={"patientId": patient_id, "title": "ok", **change}, headers=cast.doctor.headers)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]
    assert count(databases, MedicalRecord) == before


def test_an_unknown_patient_is_404(client: FlaskClient, cast: Cast) -> None:
    assert create(client, cast.doctor, str(uuid.uuid4())).status_code == 404


def test_update_wants_a_version_and_says_what_conflicts(client: FlaskClient, cast: Cast, patient_id: str) -> None:
    shown = create(client, cast.doctor, patient_id, **CLINICAL).get_json()
    url, headers = f"{URL}/{shown['id']}", cast.doctor.headers
    assert client.put(url, json={"notes": "n"}, headers=headers).status_code == 428
    for tag in ("*", 'W/"1"', "1", '"1", "2"'):
        assert client.put(url, json={"notes": "n"}, headers={**headers, "If-Match": tag}).status_code == 428, tag
    first = client.put(url, json={"notes": "n"}, headers={**headers, "If-Match": '"1"'})
    assert (first.status_code, first.headers["ETag"], first.get_json()["diagnosis"]) == (200, '"2"', "Hipertensão")
    stale = client.put(url, json={"notes": "m", "title": "t", "version": 1}, headers=headers)
    assert stale.status_code == 409
    assert stale.get_json()["currentVersion"] == 2
    assert stale.get_json()["conflictingFields"] == ["notes"]
    assert client.put(url, json={"notes": "m", "version": 2}, headers=headers).status_code == 200
    differing = client.put(url, json={"notes": "k", "version": 2}, headers={**headers, "If-Match": '"3"'})
    assert differing.status_code == 422
    masked_tag = client.put(url, json={"notes": "k"}, headers={**headers, "If-Match": '"3-0a1b2c3d"'})
    assert masked_tag.status_code == 200


def test_of_many_who_change_the_same_version_one_succeeds(
    app: Flask, databases: Databases, cast: Cast, patient_id: str
) -> None:
    shown = create(app.test_client(), cast.doctor, patient_id).get_json()
    statuses: list[int] = []

    def change(number: int) -> None:
        answer = app.test_client().put(
            f"{URL}/{shown['id']}", json={"notes": f"n{number}", "version": 1}, headers=cast.doctor.headers
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]
    assert count(databases, RecordVersion, RecordVersion.record_id == uuid.UUID(shown["id"])) == 2


def test_security_39_a_masked_copy_sent_back_changes_nothing(
    client: FlaskClient, cast: Cast, databases: Databases, patient_id: str
) -> None:
    shown = create(client, cast.doctor, patient_id, **CLINICAL).get_json()
    url = f"{URL}/{shown['id']}"
    for name in ("doctor2", "nurse2", "reception", "admin"):
        headers = cast.people[name].headers
        masked = client.get(url, headers=headers)
        copy = masked.get_json()
        assert copy["diagnosis"] is None
        for body in (copy, {"diagnosis": None, "treatment": None, "notes": None}):
            answer = client.put(url, json=body, headers={**headers, "If-Match": masked.headers["ETag"]})
            assert answer.status_code == 403, (name, answer.text)
    unchanged = client.get(url, headers=cast.doctor.headers).get_json()
    assert unchanged == shown


def test_inactivate_and_restore(client: FlaskClient, cast: Cast, patient_id: str) -> None:
    url = f"{URL}/{create(client, cast.doctor, patient_id).get_json()['id']}"
    headers = cast.doctor.headers
    assert client.delete(url, json={}, headers=headers).status_code == 422
    assert client.delete(url, json={"reason": " "}, headers=headers).status_code == 422
    assert client.delete(url, json={"reason": "duplicado"}, headers={**headers, "If-Match": '"7"'}).status_code == 409
    assert client.delete(url, json={"reason": "duplicado"}, headers=headers).status_code == 204
    assert client.get(url, headers=headers).status_code == 410
    assert client.get(f"{url}?includeDeleted=true", headers=headers).get_json()["deletedAt"] is not None
    assert client.get(f"{url}?includeDeleted=true", headers=cast.reception.headers).status_code == 404
    assert client.put(url, json={"notes": "n", "version": 2}, headers=headers).status_code == 410
    restored = client.post(f"{url}/restore", json={"reason": "era válido"}, headers=headers)
    assert (restored.status_code, restored.get_json()["deletedAt"]) == (200, None)
    versions = client.get(f"{url}/versions", headers=headers).get_json()["data"]
    assert [version["reason"] for version in versions] == ["era válido", "duplicado", None]
    assert client.get(f"{url}/versions/1", headers=headers).get_json()["version"] == 1
    assert client.get(f"{url}/versions/99999999999999", headers=headers).status_code == 404


def test_security_38_etags_belong_to_a_mask(
    client: FlaskClient, cast: Cast, databases: Databases, settings: Settings
) -> None:
    patient = make_patient(databases, settings, "Máscara")
    url = create(client, cast.doctor, str(patient), **CLINICAL).headers["Location"]
    clear = client.get(url, headers=cast.doctor.headers).headers["ETag"]
    masked = client.get(url, headers=cast.doctor2.headers).headers["ETag"]
    assert clear == '"1"'
    assert masked.startswith('"1-')
    assert client.get(url, headers={**cast.doctor.headers, "If-None-Match": clear}).status_code == 304
    assert client.get(url, headers={**cast.doctor2.headers, "If-None-Match": masked}).status_code == 304
    # Break the glass: the masked view's tag no longer matches; once it ends, the clear view's does not.
    with databases.session(Principal.STAFF) as session:
        grant = BreakGlassGrant(
            patient_id=patient, user_id=cast.doctor2.id, acting_role="DOCTOR", reason="Emergência no pronto-socorro",
            granted_at=datetime.now(UTC), expires_at=datetime.now(UTC) + timedelta(minutes=30),
        )  # fmt: skip
        session.add(grant)
    opened = client.get(url, headers={**cast.doctor2.headers, "If-None-Match": masked})
    assert (opened.status_code, opened.get_json()["diagnosis"]) == (200, "Hipertensão")
    with databases.session(Principal.MIGRATOR) as session:  # staff may end an access, not date it back
        ended = session.get_one(BreakGlassGrant, grant.id)
        ended.granted_at, ended.expires_at = (datetime.now(UTC) - timedelta(minutes=m) for m in (40, 10))
    closed = client.get(url, headers={**cast.doctor2.headers, "If-None-Match": opened.headers["ETag"]})
    assert (closed.status_code, closed.get_json()["diagnosis"]) == (200, None)


def test_an_idempotency_key_creates_once(
    client: FlaskClient, databases: Databases, cast: Cast, patient_id: str
) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"patientId": patient_id, "title": "Uma vez"}
    first = client.post(URL, json=body, headers={**cast.doctor.headers, **key})
    second = client.post(URL, json=body, headers={**cast.doctor.headers, **key})
    assert first.status_code == second.status_code == 201
    assert first.get_json() == second.get_json()
    assert second.headers["Location"] == first.headers["Location"]
    other = client.post(URL, json={**body, "title": "Outra"}, headers={**cast.doctor.headers, **key})
    assert other.status_code == 422
    # Somebody else's key of the same name is their own.
    assert client.post(URL, json=body, headers={**cast.doctor2.headers, **key}).status_code == 201


def test_security_38_an_idempotent_replay_is_masked_for_whoever_asks(
    client: FlaskClient, databases: Databases, settings: Settings, cast: Cast
) -> None:
    """doctor2 wrote it, so they see it; once it is somebody else's record, the replay shows them the mask."""
    patient = make_patient(databases, settings, "Réplica")
    headers = {**cast.doctor2.headers, "Idempotency-Key": uuid.uuid4().hex}
    body = {"patientId": str(patient), "title": "t", "diagnosis": "Segredo"}
    made = client.post(URL, json=body, headers=headers).get_json()
    assert made["diagnosis"] == "Segredo"
    with databases.session(Principal.STAFF) as session:
        session.get_one(MedicalRecord, uuid.UUID(made["id"])).author_id = cast.doctor.id
    replay = client.post(URL, json=body, headers=headers)
    assert replay.status_code == 201
    assert replay.get_json()["diagnosis"] is None
    assert "diagnosis" in replay.get_json()["privacy"]["maskedFields"]


def test_simultaneous_requests_with_one_key_create_once(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    patient = make_patient(databases, settings, "Uma Vez Só")
    headers = {**cast.doctor.headers, "Idempotency-Key": uuid.uuid4().hex}
    ids: list[str] = []

    def send() -> None:
        answer = app.test_client().post(URL, json={"patientId": str(patient), "title": "t"}, headers=headers)
        ids.append(answer.get_json()["id"])

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == 1
    assert count(databases, MedicalRecord, MedicalRecord.patient_id == patient) == 1


def test_list_and_search_pages(client: FlaskClient, databases: Databases, settings: Settings, cast: Cast) -> None:
    patient = str(make_patient(databases, settings, "Lista"))
    made = [create(client, cast.doctor, patient, notes=f"palavra {n}").get_json()["id"] for n in range(5)]
    seen: list[str] = []
    query = f"{URL}?patientId={patient}&limit=2"
    cursor = None
    while True:
        page = client.get(query + (f"&cursor={cursor}" if cursor else ""), headers=cast.doctor.headers).get_json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert client.get(f"{query}&cursor=zzz", headers=cast.doctor.headers).status_code == 422
    for limit in ("0", "101", "x", "-1"):
        assert client.get(f"{URL}?limit={limit}", headers=cast.doctor.headers).status_code == 422, limit
    assert client.get(f"{URL}?diagnosis=hipertensao", headers=cast.doctor.headers).status_code == 422
    found = client.post(f"{URL}/search", json={"q": "palavra", "patientId": patient}, headers=cast.doctor.headers)
    assert {row["id"] for row in found.get_json()["data"]} == set(made)
    masked = client.post(f"{URL}/search", json={"q": "palavra", "patientId": patient}, headers=cast.doctor2.headers)
    assert masked.get_json()["data"] == []


def test_a_list_is_one_event_that_names_what_was_shown(
    client: FlaskClient, databases: Databases, settings: Settings, cast: Cast
) -> None:
    patient = make_patient(databases, settings, "Evento")
    made = [create(client, cast.doctor, str(patient)).get_json()["id"] for _ in range(3)]
    client.get(f"{URL}?patientId={patient}", headers=cast.doctor.headers)
    with databases.session(Principal.WORKER) as session:
        event = session.scalars(
            select(AuditOutbox).where(AuditOutbox.action == "medical_record.list", AuditOutbox.patient_id == patient)
        ).one()
        assert {str(entity) for entity in event.entity_ids or []} == set(made)
        assert event.actor_id == cast.doctor.id
        assert event.token_id == cast.doctor.token_id
        creations = session.scalars(
            select(AuditOutbox).where(AuditOutbox.action == "medical_record.create", AuditOutbox.patient_id == patient)
        ).all()
        assert {str(event.entity_id) for event in creations} == set(made)
        # Opaque: names of fields and digests, and not a word of what was written.
        assert "Consulta" not in json.dumps([event.changes for event in creations])
        assert {change["field"] for change in creations[0].changes or []} >= {"title", "priority"}


def test_nothing_is_shown_when_the_event_cannot_be_written(
    client: FlaskClient, fresh_databases: Databases, fresh_settings: Settings, cast: Cast
) -> None:
    from tests.factories.cast import make_cast
    from web.app import make_app

    own = make_cast(fresh_databases, fresh_settings)
    other = make_app(fresh_settings, fresh_databases).test_client()
    url = create(other, own.doctor, str(own.patient_id), **CLINICAL).headers["Location"]
    with fresh_databases.session(Principal.MIGRATOR) as session:
        session.execute(text("REVOKE INSERT ON audit_outbox FROM sigilo_staff, sigilo_patient"))
    for person in (own.doctor, own.reception, own.patient):
        for path in (url, URL, f"{url}/versions"):
            answer = other.get(path, headers=person.headers)
            assert answer.status_code == 503, (path, person.actor.role)
            assert "Hipertensão" not in answer.text
            assert "Retry-After" in answer.headers
    assert create(other, own.doctor, str(own.patient_id)).status_code == 503
    assert count(fresh_databases, MedicalRecord) == 1


def test_security_18_patient_data_is_never_stored_by_caches(client: FlaskClient, cast: Cast, patient_id: str) -> None:
    url = create(client, cast.doctor, patient_id).headers["Location"]
    for path in (URL, url, f"{url}/versions", "/api/me"):
        assert client.get(path, headers=cast.doctor.headers).headers["Cache-Control"] == "no-store", path


def test_security_20_extra_fields_change_nothing(
    client: FlaskClient, databases: Databases, cast: Cast, patient_id: str
) -> None:
    shown = create(client, cast.doctor, patient_id).get_json()
    extra = {
        "id": str(uuid.uuid4()), "authorId": str(cast.doctor2.id), "status": "CLOSED", "deletedAt": None,
        "createdAt": "2020-01-01T00:00:00Z", "source": "x", "patientId": str(cast.stranger_id), "closesAt": None,
    }  # fmt: skip
    for name, value in extra.items():
        answer = client.put(
            f"{URL}/{shown['id']}", json={"notes": "n", "version": 1, name: value}, headers=cast.doctor.headers
        )
        assert answer.status_code == 422, name
        if name != "patientId":
            body = {"patientId": patient_id, "title": "t", name: value}
            assert client.post(URL, json=body, headers=cast.doctor.headers).status_code == 422, name
    assert client.get(f"{URL}/{shown['id']}", headers=cast.doctor.headers).get_json() == shown


def test_security_28_naughty_strings_come_back_unchanged(
    client: FlaskClient, cast: Cast, patient_id: str, shared_data: Path
) -> None:
    strings = json.loads((shared_data / "hostile" / "naughty-strings.json").read_bytes())
    kept = refused = 0
    for naughty in strings:
        body = {"title": "t", "diagnosis": naughty, "treatment": naughty, "notes": naughty}
        answer = create(client, cast.doctor, patient_id, **body)
        if not naughty.strip() and naughty:
            assert answer.status_code == 422
            refused += 1
            continue
        assert answer.status_code == 201, (naughty, answer.text)
        shown = client.get(answer.headers["Location"], headers=cast.doctor.headers).get_json()
        assert [shown[field] for field in ("diagnosis", "treatment", "notes")] == [naughty] * 3
        if naughty and len(naughty) <= 200:
            searched = client.post(f"{URL}/search", json={"q": naughty}, headers=cast.doctor.headers)
            assert searched.status_code == 200, naughty
        kept += 1
    assert kept > 240
    assert kept + refused == len(strings)


def test_security_40_the_live_check_is_a_word_and_no_event(
    app: Flask, client: FlaskClient, databases: Databases, cast: Cast, patient_id: str
) -> None:
    names = ("doctor", "doctor2", "reception", "patient")
    browsers = {name: signed_in(app, databases, cast.people[name]) for name in names}

    def token(name: str) -> str:
        answer = browsers[name].get("/live", headers={"Sigilo-Background": "1"})
        assert answer.headers["Cache-Control"] == "no-store"
        assert set(answer.get_json()) == {"token"}
        word: str = answer.get_json()["token"]
        assert len(word) == 22
        return word

    for name in names:
        person = cast.people[name]
        before = token(name)
        events = count(databases, AuditOutbox, AuditOutbox.actor_id == person.id)
        assert token(name) == before, name
        assert count(databases, AuditOutbox, AuditOutbox.actor_id == person.id) == events
    before = token("doctor2")
    create(client, cast.doctor, patient_id)
    assert token("doctor2") != before
