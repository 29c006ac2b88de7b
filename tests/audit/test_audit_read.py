"""Who reads what of the trail, and that reading it leaves an event."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from config import Principal, Settings
from models.engine import Databases
from models.user import Role
from services.access_log import list_accesses
from services.actor import Actor
from services.audit_read import TrailFilters, list_events, page
from services.audit_scope import scope_of
from services.errors import Forbidden, Invalid, Unavailable
from services.field_encryption import field_cipher
from tests.audit.trail import as_superuser, drain_all
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person
from tests.servers import DatabaseServer

TEXT = {"diagnosis": "Hipertensão", "treatment": "Losartana 50 mg", "notes": "Retorno em 30 dias"}


@pytest.fixture
def read(databases: Databases, settings: Settings) -> Any:
    """(actor, filters…) → all events that this reader finds, page by page, after everything is sealed."""

    def all_of(actor: Actor, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
        drain_all(databases)
        found, cursor = [], None
        while True:
            page = list_events(
                databases, field_cipher(settings), actor, TrailFilters(**filters), limit=limit, cursor=cursor
            )
            found += page["data"]
            cursor = page["nextCursor"]
            if cursor is None:
                return found

    return all_of


@pytest.fixture
def record(client: FlaskClient, cast: Cast) -> str:
    """A record that was written, corrected and inactivated by the doctor; its id."""
    body = {"patientId": str(cast.patient_id), "title": "Consulta", **TEXT}
    made = client.post("/api/medical-records", json=body, headers=cast.doctor.headers)
    url = made.headers["Location"]
    changed = client.put(url, json={"version": 1, "treatment": "Losartana 100 mg"}, headers=cast.doctor.headers)
    assert changed.status_code == 200, changed.get_json()
    gone = client.delete(url, json={"reason": "Lançado no paciente errado"}, headers=cast.doctor.headers)
    assert gone.status_code == 204
    return url.rpartition("/")[2]


def values_of(event: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {change["field"]: (change["before"], change["after"]) for change in event["changes"]}


def test_a_doctor_of_the_team_sees_what_a_change_was(read: Any, cast: Cast, record: str) -> None:
    deleted, updated, created = read(cast.doctor.actor, entity_id=uuid.UUID(record))
    assert [event["action"] for event in (created, updated, deleted)] == [
        "medical_record.create", "medical_record.update", "medical_record.delete",
    ]  # fmt: skip
    assert values_of(updated) == {"treatment": ("Losartana 50 mg", "Losartana 100 mg")}
    assert values_of(created)["diagnosis"] == (None, "Hipertensão")
    assert (created["fromVersion"], created["toVersion"]) == (None, 1)
    assert deleted["reason"] == "Lançado no paciente errado"
    assert updated["actor"] == {"id": str(cast.doctor.id), "role": "DOCTOR"}


def test_the_auditor_sees_everything_and_no_value(read: Any, cast: Cast, record: str) -> None:
    events = read(cast.auditor.actor, entity_id=uuid.UUID(record))
    assert len(events) == 3
    assert all(change["before"] is None and change["after"] is None for event in events for change in event["changes"])
    assert {event["reason"] for event in events} == {None}
    text = str(events)
    assert not any(word in text for word in (*TEXT.values(), "paciente errado"))
    assert "treatment" in values_of(events[1])


def test_an_event_has_the_shape_of_the_contract(read: Any, cast: Cast, record: str) -> None:
    event = read(cast.auditor.actor, entity_id=uuid.UUID(record))[0]
    assert {
        "id", "occurredAt", "action", "actor", "entityType", "entityId", "fromVersion", "toVersion", "changes",
        "reason", "metadata", "outcome", "sequence", "hash",
    } <= event.keys()  # fmt: skip
    assert event["metadata"].keys() == {"ip", "userAgent", "requestId", "tokenId"}
    assert event["metadata"]["tokenId"] == str(cast.doctor.token_id)
    assert datetime.fromisoformat(event["occurredAt"]).tzinfo is not None
    assert len(bytes.fromhex(event["hash"])) == 32


def test_a_doctor_outside_the_team_sees_nothing(read: Any, cast: Cast, record: str) -> None:
    assert read(cast.doctor2.actor, entity_id=uuid.UUID(record)) == []
    assert read(cast.nurse2.actor, patient_id=cast.patient_id) == []


def test_security_38_a_view_ends_with_the_membership(read: Any, cast: Cast, record: str, databases: Databases) -> None:
    passing = make_person(databases, Role.DOCTOR, "Ivo Breve")
    join_team(databases, cast.patient_id, passing.id)
    assert read(passing.actor, entity_id=uuid.UUID(record))
    with databases.autocommit(Principal.STAFF) as connection:
        connection.execute("UPDATE care_team_members SET removed_at = now() WHERE user_id = %s", (passing.id,))
    assert read(passing.actor, entity_id=uuid.UUID(record)) == []


@pytest.mark.parametrize("role", ["reception", "admin", "patient"])
def test_others_may_not_read_the_trail(read: Any, cast: Cast, role: str) -> None:
    with pytest.raises(Forbidden):
        read(cast.people[role].actor)


@pytest.fixture
def shared_list(
    client: FlaskClient, databases: Databases, settings: Settings, cast: Cast
) -> tuple[Person, uuid.UUID, str, str]:
    """A list that showed records of two patients; of one of them the returned doctor is on the team."""
    mine, other = make_patient(databases, settings, "Da Equipe"), make_patient(databases, settings, "De Fora")
    doctor = make_person(databases, Role.DOCTOR, "Lia Campos")
    join_team(databases, mine, doctor.id)
    ids = [
        client.post(
            "/api/medical-records", json={"patientId": str(patient), "title": "Exame"}, headers=doctor.headers
        ).get_json()["id"]
        for patient in (mine, other)
    ]
    listed = client.get("/api/medical-records?limit=2", headers=cast.reception.headers).get_json()["data"]
    assert {shown["id"] for shown in listed} == set(ids)
    return doctor, mine, *ids


def test_a_list_shows_a_team_only_its_own_patients(read: Any, cast: Cast, shared_list: Any) -> None:
    doctor, mine, own_record, foreign_record = shared_list
    [seen] = read(doctor.actor, action="medical_record.list", actor_id=cast.reception.id)
    assert seen["entityIds"] == [own_record]
    assert read(doctor.actor, action="medical_record.list", patient_id=mine) == [seen]
    assert read(doctor.actor, action="medical_record.list", entity_id=uuid.UUID(own_record))
    [whole] = read(cast.auditor.actor, action="medical_record.list", patient_id=mine)
    assert set(whole["entityIds"]) == {own_record, foreign_record}
    assert whole["sequence"] == seen["sequence"]


def test_a_foreign_id_in_a_list_is_found_by_nobody_outside(read: Any, shared_list: Any) -> None:
    """Filtering by the id of somebody else's record would be an oracle for whether a list named it."""
    doctor, _, _, foreign_record = shared_list
    found = read(doctor.actor, action="medical_record.list", entity_id=uuid.UUID(foreign_record))
    assert found == []


def test_a_refused_attempt_is_seen_by_the_team(read: Any, client: FlaskClient, cast: Cast, record: str) -> None:
    refused = client.put(f"/api/medical-records/{record}", json={"title": "x"}, headers=cast.reception.headers)
    assert refused.status_code == 403
    events = read(cast.nurse.actor, entity_id=uuid.UUID(record))
    assert (events[0]["outcome"], events[0]["actor"]["role"]) == ("refused", "RECEPTION")


def test_many_ids_and_few_find_the_same(databases: Databases, cast: Cast, shared_list: Any) -> None:
    """Both ways to look for a patient's events give the same ones."""
    drain_all(databases)
    mine = shared_list[1]
    with databases.autocommit(Principal.AUDITOR) as connection:
        found = []
        for most_ids in (5_000, 0):
            scope = scope_of(connection, [mine, cast.patient_id], most_ids=most_ids)
            rows = [row["sequence"] for row in page(connection, TrailFilters(), scope, before=None, limit=1_000)]
            found.append(rows)
    assert found[0] == found[1]
    assert found[0] == sorted(set(found[0]), reverse=True)
    assert found[0]


def test_pages_neither_skip_nor_repeat_while_events_are_sealed(
    read: Any, client: FlaskClient, databases: Databases, settings: Settings, cast: Cast, record: str
) -> None:
    """Every page read is an event itself, sealed before the next page is asked for."""
    whole = [event["sequence"] for event in read(cast.auditor.actor)]
    filters = TrailFilters()
    seen, cursor = [], None
    while True:
        page = list_events(databases, field_cipher(settings), cast.auditor.actor, filters, limit=7, cursor=cursor)
        seen += [event["sequence"] for event in page["data"]]
        drain_all(databases)
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == whole


def test_filters_narrow(read: Any, cast: Cast, record: str) -> None:
    auditor, number = cast.auditor.actor, uuid.UUID(record)
    events = read(auditor, entity_id=number)
    middle = datetime.fromisoformat(events[1]["occurredAt"])
    assert read(auditor, entity_id=number, action="medical_record.update") == [events[1]]
    assert read(auditor, entity_id=number, start=middle) == events[:2]
    assert read(auditor, entity_id=number, end=middle) == events[1:]
    assert read(auditor, entity_id=number, entity_type="patient") == []
    assert read(auditor, entity_id=number, actor_id=cast.nurse.id) == []
    assert read(auditor, start=datetime.now(UTC) + timedelta(days=2)) == []


def test_a_cursor_belongs_to_its_filters(
    databases: Databases, settings: Settings, read: Any, cast: Cast, record: str
) -> None:
    read(cast.auditor.actor)
    cipher, actor = field_cipher(settings), cast.auditor.actor
    cursor = list_events(databases, cipher, actor, TrailFilters(), limit=1)["nextCursor"]
    with pytest.raises(Invalid):
        list_events(databases, cipher, actor, TrailFilters(action="session.login"), cursor=cursor)


def test_security_30_reading_the_trail_is_in_the_trail(read: Any, cast: Cast, record: str) -> None:
    shown = read(cast.auditor.actor, entity_id=uuid.UUID(record))
    reading = read(cast.auditor.actor, action="audit.read", actor_id=cast.auditor.id)[0]
    assert reading["entityIds"] == [event["id"] for event in shown]


@pytest.fixture
def unauditable(server: DatabaseServer, fresh_database: str, fresh_databases: Databases) -> Databases:
    """An installation where no event of a reading can be written."""
    with as_superuser(server.superuser_url(fresh_database)) as connection:
        connection.execute("REVOKE INSERT ON audit_outbox FROM sigilo_auditor")
    return fresh_databases


def test_invariant_2_no_trail_without_the_event_of_its_reading(
    unauditable: Databases, settings: Settings, cast: Cast
) -> None:
    with pytest.raises(Unavailable):
        list_events(unauditable, field_cipher(settings), cast.auditor.actor, TrailFilters())
    with pytest.raises(Unavailable):
        list_accesses(unauditable, cast.patient.actor)


def test_a_patients_documents_are_shown_to_the_team_in_the_clear(read: Any, client: FlaskClient, cast: Cast) -> None:
    body = {"fullName": "Zélia Prado", "sex": "FEMALE", "cpf": "52998224725"}
    made = client.post("/api/patients", json=body, headers=cast.doctor.headers)
    assert made.status_code == 201, made.get_json()
    patient_id = uuid.UUID(made.get_json()["id"])
    created = read(cast.doctor.actor, entity_id=patient_id, action="patient.create")[0]
    assert values_of(created)["cpf"] == (None, "52998224725")
    masked = read(cast.auditor.actor, entity_id=patient_id, action="patient.create")[0]
    assert "52998224725" not in str(masked)


def accesses(databases: Databases, person: Person) -> list[dict[str, Any]]:
    drain_all(databases)
    found, cursor = [], None
    while True:
        page = list_accesses(databases, person.actor, limit=50, cursor=cursor)
        found += page["data"]
        cursor = page["nextCursor"]
        if cursor is None:
            return found


def test_security_33_a_patient_sees_who_saw_their_record_and_why(
    databases: Databases, client: FlaskClient, cast: Cast, record: str
) -> None:
    broken = client.post(
        f"/api/patients/{cast.patient_id}/break-glass",
        json={"reason": "Inconsciente na emergência"}, headers=cast.nurse2.headers,
    )  # fmt: skip
    assert broken.status_code == 201, broken.get_json()
    client.get(f"/api/patients/{cast.patient_id}", headers=cast.nurse2.headers)
    log = accesses(databases, cast.patient)
    by_nurse = [entry for entry in log if entry["actor"]["name"] == "Caio Lima" and entry["isBreakGlass"]]
    assert {entry["action"] for entry in by_nurse} == {"patient.break_glass", "patient.read"}
    assert {entry["reason"] for entry in by_nurse} == {"Inconsciente na emergência"}
    written = [entry for entry in log if entry["action"] == "medical_record.update" and entry["entityId"] == record]
    assert written[0]["actor"] == {"name": "Ana Moura", "role": "DOCTOR", "council": "CRM-SP 123456"}
    assert (written[0]["basis"], written[0]["isBreakGlass"]) == ("care-team", False)


def test_security_33_lists_that_showed_a_patient_name_only_their_rows(
    databases: Databases, settings: Settings, client: FlaskClient, cast: Cast, shared_list: Any
) -> None:
    _, mine, own_record, _ = shared_list
    person = make_person(databases, Role.PATIENT, "Da Equipe", patient_id=mine)
    listed = [entry for entry in accesses(databases, person) if entry["action"] == "medical_record.list"]
    assert [entry["entityIds"] for entry in listed] == [[own_record]]
    assert listed[0]["actor"]["role"] == "RECEPTION"


def test_a_stranger_sees_nothing_of_somebody_elses_log(databases: Databases, cast: Cast, record: str) -> None:
    assert record not in str(accesses(databases, cast.stranger))
    with pytest.raises(Forbidden):
        list_accesses(databases, cast.doctor.actor)


def test_the_api_serves_both(client: FlaskClient, databases: Databases, cast: Cast, record: str) -> None:
    drain_all(databases)
    answer = client.get(f"/api/audit-events?entityId={record}&limit=2", headers=cast.auditor.headers)
    assert answer.status_code == 200
    page = answer.get_json()
    assert len(page["data"]) == 2
    rest = client.get(
        f"/api/audit-events?entityId={record}&limit=2&cursor={page['nextCursor']}", headers=cast.auditor.headers
    ).get_json()
    assert (len(rest["data"]), rest["nextCursor"]) == (1, None)
    log = client.get("/api/me/access-log?limit=1", headers=cast.patient.headers)
    assert log.status_code == 200
    assert log.get_json()["data"]
    assert client.get("/api/me/access-log", headers=cast.doctor.headers).status_code == 403
