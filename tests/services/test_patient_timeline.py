"""A patient's timeline: records and visits in one order, masked as elsewhere, in the trail as exactly what is shown."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal, Settings
from models import MedicalRecord, Visit
from models.engine import Databases
from services.errors import Gone, Invalid, NotFound
from services.field_encryption import field_cipher
from services.patient_timeline import read_timeline
from services.record_create import NewRecord, create_record
from services.record_list import RecordFilters, list_records
from services.visit_list import list_visits
from tests.factories.cast import Cast, Person, join_team, make_patient
from tests.services.test_query_counts import statements_sent

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """Seven records (the fourth restricted, from a visit) and six visits, taking turns hour by hour."""
    made = make_patient(databases, settings, "Linha do Tempo")
    join_team(databases, made, cast.doctor.id)
    cipher = field_cipher(settings)
    with databases.session(Principal.STAFF) as session:
        for number in range(7):
            values = {
                "title": f"Título {number}", "diagnosis": f"Diagnóstico {number}", "restricted": number == 3,
                "occurredAt": START + timedelta(hours=2 * number),
            }  # fmt: skip
            record = create_record(session, cast.doctor.actor, cipher, NewRecord(made, values)).record
            if number == 6:
                continue
            arrived = START + timedelta(hours=2 * number + 1)
            visit = Visit(
                patient_id=made, reason=f"Queixa {number}", priority="NORMAL", status="DONE", arrived_at=arrived,
                closed_at=arrived, checked_in_by=cast.reception.id,
            )  # fmt: skip
            session.add(visit)
            session.flush()
            if number == 3:
                record.visit_id = visit.id
    return made


def read_all(databases: Databases, person: Person, patient_id: uuid.UUID, limit: int) -> list[dict[str, Any]]:
    entries, cursor = [], None
    while True:
        page = read_timeline(databases, person.actor, patient_id, limit=limit, cursor=cursor)
        entries += json.loads(page.data)
        cursor = page.next_cursor
        if cursor is None:
            return entries


@pytest.mark.parametrize("limit", [1, 2, 5, 13, 50])
def test_newest_first_and_no_page_skips_or_repeats(
    databases: Databases, cast: Cast, patient_id: uuid.UUID, limit: int
) -> None:
    entries = read_all(databases, cast.doctor, patient_id, limit)
    assert [each["type"] for each in entries] == ["record", "visit"] * 6 + ["record"]
    times = [datetime.fromisoformat(each["at"]) for each in entries]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("who", ["doctor", "doctor2", "nurse2", "reception", "admin"])
def test_each_entry_is_what_the_lists_show(databases: Databases, cast: Cast, patient_id: uuid.UUID, who: str) -> None:
    person = cast.people[who]
    entries = read_all(databases, person, patient_id, 50)
    records = json.loads(list_records(databases, person.actor, RecordFilters(patient_id=patient_id), limit=50).data)
    assert [each["entry"] for each in entries if each["type"] == "record"] == records
    listed, cursor = [], None
    while True:
        page = list_visits(databases, person.actor, status="DONE", limit=100, cursor=cursor)
        listed += json.loads(page.data)
        cursor = page.next_cursor
        if cursor is None:
            break
    visits = [each for each in listed if each["patientId"] == str(patient_id)]
    assert [each["entry"] for each in entries if each["type"] == "visit"] == visits


def test_the_restricted_record_and_its_visit_are_masked_outside(
    databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    data = read_timeline(databases, cast.doctor2.actor, patient_id, limit=50).data.decode()
    assert "Título 2" in data
    assert "Título 3" not in data
    assert "Queixa 3" not in data
    assert "Diagnóstico" not in data


def test_the_trail_names_exactly_what_was_shown(databases: Databases, cast: Cast, patient_id: uuid.UUID) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        last = session.scalar(text("SELECT max(id::text) FROM audit_outbox")) or ""
    page = json.loads(read_timeline(databases, cast.nurse2.actor, patient_id, limit=4).data)
    query = text(
        "SELECT action, entity_type, outcome, patient_id, entity_ids FROM audit_outbox "
        "WHERE id::text > :last AND actor_id = :me ORDER BY action"
    )
    with databases.session(Principal.MIGRATOR) as session:
        events = session.execute(query, {"last": last, "me": cast.nurse2.id}).all()
    assert [(row.action, row.entity_type, row.outcome) for row in events] == [
        ("medical_record.list", "medical_record", "success"), ("visit.list", "visit", "success"),
    ]  # fmt: skip
    assert {row.patient_id for row in events} == {patient_id}
    for row, kind in zip(events, ("record", "visit"), strict=True):
        assert {str(each) for each in row.entity_ids} == {each["entry"]["id"] for each in page if each["type"] == kind}


def test_one_statement_however_long_the_page(databases: Databases, cast: Cast, patient_id: uuid.UUID) -> None:
    def read(limit: int) -> int:
        return statements_sent(
            databases, lambda: read_timeline(databases, cast.doctor.actor, patient_id, limit=limit)
        )  # fmt: skip

    assert (read(1), read(13)) == (1, 1)


def test_inactive_records_are_left_out(databases: Databases, settings: Settings, cast: Cast) -> None:
    made = make_patient(databases, settings, "Um Registro Inativo")
    join_team(databases, made, cast.doctor.id)
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(made, {"title": "Engano"})
        record = create_record(session, cast.doctor.actor, field_cipher(settings), new).record
        session.get_one(MedicalRecord, record.id).deleted_at = datetime.now(UTC)
        session.get_one(MedicalRecord, record.id).deletion_reason = "engano"
    assert read_timeline(databases, cast.doctor.actor, made).data == b"[]"


def test_unknown_foreign_and_inactive_patients(databases: Databases, settings: Settings, cast: Cast) -> None:
    gone = make_patient(databases, settings, "Inativo", deleted_at=datetime.now(UTC), deletion_reason="engano")
    with pytest.raises(NotFound):
        read_timeline(databases, cast.doctor.actor, uuid.uuid4())
    with pytest.raises(NotFound):
        read_timeline(databases, cast.stranger.actor, cast.patient_id)
    with pytest.raises(Gone):
        read_timeline(databases, cast.doctor.actor, gone)
    with pytest.raises(Invalid):
        read_timeline(databases, cast.doctor.actor, cast.patient_id, cursor="x")
