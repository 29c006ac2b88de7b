"""The demo clinic in a database: what the seed writes, and what it refuses to touch."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, text

from config import Principal, Settings
from models import Patient
from models.engine import Databases
from services.demo_calendar import is_open
from services.demo_rows import TABLES
from services.demo_seed import SeedSummary, seed
from services.demo_staff import LOGINS
from services.errors import Conflict, Invalid
from services.field_encryption import FieldCipher, field_cipher
from services.identifier_check import normalize
from services.password import verify_password
from services.patient_fields import document_of, open_content
from services.restriction import CID10, must_be_restricted
from tests.conftest import make_settings
from tests.servers import DatabaseServer

PATIENTS, RECORDS, NUMBER = 90, 900, 7


@pytest.fixture(scope="module")
def clinic_settings(
    server: DatabaseServer, template: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of an empty database that the tests of this module share."""
    name = server.create(template=template)
    yield make_settings(server.urls(name), redis_url, tmp_path_factory.mktemp("clinic"))
    server.drop(name)


@pytest.fixture(scope="module")
def progress() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def summary(clinic_settings: Settings, progress: list[tuple[int, int]]) -> SeedSummary:
    return seed(
        clinic_settings,
        patients=PATIENTS,
        records=RECORDS,
        number=NUMBER,
        progress=lambda done, total: progress.append((done, total)),
    )


@pytest.fixture(scope="module")
def rows(clinic_settings: Settings, summary: SeedSummary) -> Iterator[Connection]:
    """A connection that sees everything the seed wrote, the outbox included."""
    databases = databases_of(clinic_settings)
    with databases.engine(Principal.BACKUP).connect() as connection:
        yield connection
    databases.dispose()


@pytest.fixture(scope="module")
def cipher(clinic_settings: Settings) -> FieldCipher:
    return field_cipher(clinic_settings)


@pytest.fixture(scope="module")
def logins(clinic_settings: Settings, summary: SeedSummary) -> dict[str, dict[str, str]]:
    return read_logins(clinic_settings)


def databases_of(settings: Settings) -> Databases:
    return Databases({each.value: settings.url_for(each) for each in Principal}, pool_size=1)


def read_logins(settings: Settings) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((settings.sigilo_home / "demo-credentials.json").read_text())
    return found


def value(connection: Connection, query: str, **parameters: Any) -> Any:
    return connection.execute(text(query), parameters).scalar()


def user_id(connection: Connection, email: str) -> uuid.UUID:
    found = value(connection, "SELECT id FROM users WHERE email = :email", email=email)
    assert isinstance(found, uuid.UUID)
    return found


def patients_of(connection: Connection) -> list[Patient]:
    columns = ", ".join(column.name for column in Patient.__table__.columns if column.computed is None)
    return [Patient(**row) for row in connection.execute(text(f"SELECT {columns} FROM patients")).mappings()]


def test_writes_exactly_what_was_asked_for(summary: SeedSummary, rows: Connection) -> None:
    assert (summary.patients, summary.records) == (PATIENTS, RECORDS)
    assert value(rows, "SELECT count(*) FROM patients") == PATIENTS
    assert value(rows, "SELECT count(*) FROM medical_records") == RECORDS
    assert value(rows, "SELECT count(*) FROM visits") == summary.visits > RECORDS / 3
    assert f"{PATIENTS} patients" in str(summary)


def test_progress_ends_at_the_total(summary: SeedSummary, progress: list[tuple[int, int]]) -> None:
    total = progress[-1][1]
    assert progress[-1][0] == total
    assert all(total == each for _, each in progress)
    assert all(before < after for (before, _), (after, _) in pairwise(progress))


def test_every_record_has_its_version_with_the_same_content(rows: Connection) -> None:
    assert value(rows, "SELECT count(*) FROM record_versions") == RECORDS
    different = """
        SELECT count(*) FROM medical_records r
        LEFT JOIN record_versions v ON v.record_id = r.id AND v.version = r.version
        WHERE (v.content ->> 'title', v.content ->> 'kind', v.content ->> 'notes', v.changed_by)
            IS DISTINCT FROM (r.title, r.kind, r.notes, r.author_id)
    """
    assert value(rows, different) == 0


def test_every_row_has_one_event_of_the_system_without_any_clinical_text(rows: Connection) -> None:
    found = rows.execute(text("SELECT action, count(*) FROM audit_outbox GROUP BY action"))
    counts = {row[0]: row[1] for row in found}
    assert counts["patient.create"] == PATIENTS
    assert counts["medical_record.create"] == RECORDS
    for action, table in {"visit.create": "visits", "allergy.create": "allergies", "user.create": "users"}.items():
        imports = 1 if table == "users" else 0  # the import's author is a migration's
        assert counts[action] == value(rows, f"SELECT count(*) FROM {table}") - imports
    assert counts["care_team.add"] == value(rows, "SELECT count(*) FROM care_team_members")
    alone = "SELECT count(DISTINCT entity_id) FROM audit_outbox WHERE action = 'medical_record.create'"
    assert value(rows, alone) == RECORDS
    assert value(rows, "SELECT count(*) FROM audit_outbox WHERE actor_id IS NOT NULL OR actor_role <> 'SYSTEM'") == 0
    assert value(rows, "SELECT count(*) FROM audit_outbox WHERE changes::text ILIKE '%hipertens%'") == 0


def test_documents_are_valid_unique_and_open_only_in_their_row(rows: Connection, cipher: FieldCipher) -> None:
    patients = patients_of(rows)
    for kind, fewest in (("cpf", 0.75), ("cns", 0.6)):
        numbers = [number for patient in patients if (number := document_of(cipher, patient, kind))]
        assert all(normalize(kind, number) == number for number in numbers)
        assert len(set(numbers)) == len(numbers) > fewest * PATIENTS
        for patient in patients:
            number = document_of(cipher, patient, kind)
            expected = None if number is None else cipher.blind_index(kind, number)
            assert getattr(patient, f"{kind}_index") == expected


def test_security_23_versions_keep_documents_sealed(rows: Connection, cipher: FieldCipher) -> None:
    contents = {row.patient_id: row.content for row in rows.execute(text("SELECT * FROM patient_versions"))}
    stored = json.dumps(list(contents.values()))
    for patient in patients_of(rows):
        opened = open_content(cipher, patient.id, contents[patient.id])
        assert opened["cpf"] == document_of(cipher, patient, "cpf")
        assert opened["cpf"] is None or opened["cpf"] not in stored
        assert len(cipher.decrypt_bytes(patient.audit_key_cipher, patient.id)) == 32


def test_people_are_of_all_kinds(rows: Connection) -> None:
    assert value(rows, "SELECT count(*) FROM patients WHERE birth_date_estimated") >= 1
    assert value(rows, "SELECT count(*) FROM patients WHERE full_name LIKE 'Pessoa não identificada%'") >= 1
    ages = [
        row[0]
        for row in rows.execute(
            text("SELECT date_part('year', age(birth_date)) FROM patients WHERE birth_date IS NOT NULL")
        )
    ]
    assert min(ages) < 15
    assert 65 < max(ages) < 100
    assert value(rows, "SELECT count(*) FROM patients WHERE birth_date > created_at::date") == 0
    assert value(rows, "SELECT count(DISTINCT priority) FROM medical_records") == 4
    assert {"CONSULTATION", "RETURN", "TRIAGE", "EXAM"} <= {
        row[0] for row in rows.execute(text("SELECT DISTINCT kind FROM medical_records"))
    }
    assert value(rows, "SELECT count(*) FROM allergies") >= 1


def test_cid10_codes_have_their_shape_and_the_law_restricts_their_records(rows: Connection) -> None:
    found = rows.execute(text("SELECT cid10_codes, restricted, kind FROM medical_records")).all()
    assert all(CID10.match(code) for row in found for code in row.cid10_codes)
    assert all(row.restricted for row in found if must_be_restricted(row.cid10_codes))
    assert any(row.restricted for row in found)
    assert len({code for row in found for code in row.cid10_codes}) > 30


def test_nobody_sees_a_restricted_diagnosis_in_the_reason_of_the_visit(rows: Connection) -> None:
    reasons = rows.execute(
        text(
            "SELECT DISTINCT lower(s.reason) FROM visits s JOIN medical_records r ON r.visit_id = s.id "
            "WHERE r.restricted"
        )
    ).scalars()
    words = ("hiv", "hepatite", "tubercul", "hansen", "depress", "ansiedade", "álcool", "agress")
    assert not [reason for reason in reasons if any(word in reason for word in words)]


def test_records_keep_the_clinics_hours(rows: Connection, clinic_settings: Settings) -> None:
    moments = [row[0] for row in rows.execute(text("SELECT created_at FROM medical_records"))]
    local = [moment.astimezone(clinic_settings.timezone) for moment in moments]
    assert all(time(8) <= moment.time() < time(18) for moment in local)
    assert all(is_open(moment.date()) for moment in local)
    now = datetime.now(UTC)
    assert max(moments) <= now
    assert min(moments) >= now - timedelta(days=366)
    assert (max(moments) - min(moments)).days > 300
    mondays, fridays = (sum(moment.weekday() == day for moment in local) for day in (0, 4))
    assert mondays > fridays


def test_nothing_lies_in_the_future_or_before_its_cause(rows: Connection) -> None:
    for query in (
        "SELECT count(*) FROM visits WHERE greatest(arrived_at, called_at, closed_at) > now()",
        "SELECT count(*) FROM visits WHERE called_at < arrived_at OR closed_at < coalesce(called_at, arrived_at)",
        "SELECT count(*) FROM medical_records r JOIN visits s ON s.id = r.visit_id WHERE r.created_at < s.arrived_at",
        "SELECT count(*) FROM medical_records r JOIN patients p ON p.id = r.patient_id "
        "WHERE r.created_at < p.created_at",
        "SELECT count(*) FROM medical_records r JOIN medical_records a ON a.id = r.amends_id "
        "WHERE r.created_at < a.created_at OR r.patient_id <> a.patient_id OR a.amends_id IS NOT NULL",
        "SELECT count(*) FROM medical_records WHERE notes LIKE '%{%' OR treatment LIKE '%{%'",
        "SELECT count(*) FROM medical_records WHERE closes_at <> created_at + interval '24 hours'",
    ):
        assert value(rows, query) == 0, query


def test_the_worklist_is_alive(rows: Connection) -> None:
    found = rows.execute(text("SELECT status, priority FROM visits WHERE status IN ('WAITING', 'IN_CARE')")).all()
    assert {row.status for row in found} == {"WAITING", "IN_CARE"}
    assert len({row.priority for row in found}) >= 3
    in_care_outside_team = """
        SELECT count(*) FROM visits s WHERE s.status = 'IN_CARE' AND NOT EXISTS (
            SELECT FROM care_team_members m WHERE m.patient_id = s.patient_id AND m.user_id = s.doctor_id
                AND m.removed_at IS NULL AND m.expires_at IS NULL)
    """
    assert value(rows, in_care_outside_team) == 0


def test_doctor2_is_in_nobodys_care_team_and_wrote_nothing(rows: Connection, logins: dict[str, Any]) -> None:
    doctor2 = user_id(rows, logins["doctor2"]["email"])
    for table, column in (
        ("care_team_members", "user_id"), ("medical_records", "author_id"), ("visits", "doctor_id"),
        ("patients", "responsible_id"),
    ):  # fmt: skip
        assert value(rows, f"SELECT count(*) FROM {table} WHERE {column} = :me", me=doctor2) == 0


def test_work_is_shared_among_the_doctors(rows: Connection, logins: dict[str, Any]) -> None:
    doctor = user_id(rows, logins["doctor"]["email"])
    own = value(rows, "SELECT count(*) FROM patients WHERE responsible_id = :me", me=doctor)
    assert PATIENTS * 0.2 < own < PATIENTS * 0.7
    assert value(rows, "SELECT count(DISTINCT responsible_id) FROM patients") == 4


def test_the_patient_who_signs_in_is_a_patient_of_the_doctor_and_has_a_record(
    rows: Connection, logins: dict[str, Any]
) -> None:
    patient_id = value(rows, "SELECT patient_id FROM users WHERE email = :email", email=logins["patient"]["email"])
    responsible = value(rows, "SELECT responsible_id FROM patients WHERE id = :id", id=patient_id)
    assert responsible == user_id(rows, logins["doctor"]["email"])
    assert value(rows, "SELECT count(*) FROM medical_records WHERE patient_id = :id", id=patient_id) >= 4
    assert value(rows, "SELECT count(*) FROM allergies WHERE patient_id = :id", id=patient_id) == 1


def test_nurses_wrote_only_about_patients_of_their_teams(rows: Connection) -> None:
    outside = """
        SELECT count(*) FROM medical_records r JOIN user_roles o ON o.user_id = r.author_id AND o.role = 'NURSE'
        WHERE r.kind NOT IN ('TRIAGE', 'ADDENDUM') OR NOT EXISTS (
            SELECT FROM care_team_members m WHERE m.patient_id = r.patient_id AND m.user_id = r.author_id)
    """
    assert value(rows, outside) == 0


def test_the_credentials_are_private_and_sign_in(clinic_settings: Settings, logins: dict[str, Any]) -> None:
    path = clinic_settings.sigilo_home / "demo-credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(logins) == set(LOGINS) == {"doctor", "doctor2", "nurse", "admin", "reception", "auditor", "patient"}
    assert len({login["password"] for login in logins.values()}) == len(logins)
    databases = databases_of(clinic_settings)
    with databases.session(Principal.ANONYMOUS) as session:
        for key, login in logins.items():
            stored = session.execute(
                text("SELECT password_hash, must_change_password FROM users WHERE email = :email"),
                {"email": login["email"]},
            ).one()
            assert verify_password(stored.password_hash, login["password"]), key
            assert not stored.must_change_password
    databases.dispose()


def test_a_second_seed_adds_patients_and_leaves_the_accounts_alone(clinic_settings: Settings, rows: Connection) -> None:
    credentials = (clinic_settings.sigilo_home / "demo-credentials.json").read_bytes()
    users = rows.execute(text("SELECT id, version, updated_at FROM users ORDER BY id")).all()
    doctor2 = user_id(rows, "doctor2@clinica.example")
    rows.rollback()
    added = seed(clinic_settings, patients=5, records=40, number=NUMBER)
    assert (added.patients, added.records, added.credentials) == (5, 40, None)
    assert value(rows, "SELECT count(*) FROM patients") == PATIENTS + 5
    assert value(rows, "SELECT count(*) FROM medical_records") == RECORDS + 40
    assert value(rows, "SELECT count(*) FROM care_team_members WHERE user_id = :me", me=doctor2) == 0
    assert rows.execute(text("SELECT id, version, updated_at FROM users ORDER BY id")).all() == users
    assert (clinic_settings.sigilo_home / "demo-credentials.json").read_bytes() == credentials


def test_a_database_with_users_of_its_own_is_refused_and_unchanged(
    fresh_settings: Settings, fresh_databases: Databases
) -> None:
    with fresh_databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text("INSERT INTO users (id, email, full_name) VALUES (:id, 'a@real.example', 'A')"), {"id": uuid.uuid4()}
        )
    with pytest.raises(Conflict):
        seed(fresh_settings, patients=1, records=1)
    with fresh_databases.session(Principal.MIGRATOR) as session:
        assert session.execute(text("SELECT count(*) FROM patients")).scalar() == 0


def test_the_smallest_clinic_and_nothing_smaller(fresh_settings: Settings, fresh_databases: Databases) -> None:
    with pytest.raises(Invalid):
        seed(fresh_settings, patients=0, records=1)
    made = seed(fresh_settings, patients=1, records=1)
    assert (made.patients, made.records) == (1, 1)
    with fresh_databases.session(Principal.MIGRATOR) as session:
        counts = {table: session.execute(text(f"SELECT count(*) FROM {table}")).scalar() for table in TABLES[:-1]}
    assert counts["medical_records"] == counts["record_versions"] == counts["patients"] == 1


def test_a_failure_leaves_neither_rows_nor_logins(
    fresh_settings: Settings, fresh_databases: Databases, tmp_path: Any
) -> None:
    settings = fresh_settings.model_copy(update={"sigilo_home": tmp_path / "home"})
    with fresh_databases.engine(Principal.MIGRATOR).begin() as connection:
        connection.execute(text("ALTER TABLE record_versions ADD CHECK (content ->> 'kind' <> 'CONSULTATION')"))
    with pytest.raises(Exception, match="record_versions"):
        seed(settings, patients=3, records=30)
    assert not (tmp_path / "home" / "demo-credentials.json").exists()
    with fresh_databases.session(Principal.MIGRATOR) as session:
        assert session.execute(text("SELECT count(*) FROM patients")).scalar() == 0
