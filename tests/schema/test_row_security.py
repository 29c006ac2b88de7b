"""SECURITY 21: what each database role can reach, tried by connecting as it."""

from __future__ import annotations

import uuid

import pytest
from psycopg import errors
from sqlalchemy import text

from config import Principal, Settings
from models.engine import Databases
from services.actor import Actor
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from services.record_get import get_record
from tests.factories.cast import Cast, make_patient

pytestmark = pytest.mark.database

TABLES_ABOUT_PATIENTS = (
    "patients", "patient_versions", "allergies", "visits", "care_team_members", "break_glass_grants", "notifications",
    "medical_records", "record_versions", "drafts", "import_files", "import_rejects", "audit_outbox", "audit_trail",
)  # fmt: skip
PATIENT_READS = ("patients", "allergies", "visits", "care_team_members", "medical_records", "record_versions")


@pytest.fixture(scope="module")
def record_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(cast.patient_id, {"title": "Consulta", "diagnosis": "Hipertensão"})
        return create_record(session, cast.doctor.actor, field_cipher(settings), new).record.id


def count(databases: Databases, principal: Principal, table: str, patient: uuid.UUID | None = None) -> int:
    with databases.session(principal) as session:
        if patient is not None:
            session.execute(text("SELECT set_config('sigilo.patient_id', :id, true)"), {"id": str(patient)})
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def refused(databases: Databases, principal: Principal, statement: str) -> None:
    with databases.autocommit(principal) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


def test_security_21_forced_on_every_table_with_patient_data(databases: Databases) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        rows = session.execute(
            text(
                "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class "
                "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
            )
        ).all()
        having = session.execute(
            text(
                "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public' "
                "AND column_name = 'patient_id' AND table_name NOT LIKE 'audit_trail_p%'"
            )
        ).scalars()
    forced = {name for name, enabled, is_forced in rows if enabled and is_forced}
    # users.patient_id names whose portal account it is and says nothing about them.
    assert set(having) - {"users"} <= forced
    assert set(TABLES_ABOUT_PATIENTS) <= forced


def test_security_21_a_patient_role_without_a_patient_gets_no_rows(databases: Databases, record_id: uuid.UUID) -> None:
    for table in PATIENT_READS:
        assert count(databases, Principal.PATIENT, table) == 0, table
    with databases.session(Principal.PATIENT) as session:
        session.execute(text("SELECT set_config('sigilo.patient_id', '', true)"))
        assert session.execute(text("SELECT count(*) FROM medical_records")).scalar_one() == 0


def test_security_21_a_patient_role_sees_that_patient_only(
    databases: Databases, cast: Cast, record_id: uuid.UUID
) -> None:
    assert count(databases, Principal.PATIENT, "medical_records", cast.patient_id) >= 1
    assert count(databases, Principal.PATIENT, "patients", cast.patient_id) == 1
    others = f"medical_records WHERE patient_id <> '{cast.stranger_id}'"
    assert count(databases, Principal.STAFF, others) >= 1
    assert count(databases, Principal.PATIENT, others, cast.stranger_id) == 0
    for table in ("break_glass_grants", "drafts", "notifications", "patient_versions", "sessions", "api_tokens"):
        refused(databases, Principal.PATIENT, f"SELECT count(*) FROM {table}")
    refused(databases, Principal.PATIENT, "SELECT email FROM users")
    for table in PATIENT_READS:
        refused(databases, Principal.PATIENT, f"DELETE FROM {table}")
    refused(databases, Principal.PATIENT, "UPDATE medical_records SET title = 'x'")


def test_security_21_nothing_leaks_over_a_pooled_connection(
    databases: Databases, cast: Cast, record_id: uuid.UUID
) -> None:
    get_record(databases, cast.patient.actor, record_id)
    pids = set()
    for _ in range(8):
        with databases.autocommit(Principal.PATIENT) as connection:
            pids.add(connection.info.backend_pid)
            row = connection.execute(
                "SELECT count(*), current_setting('sigilo.patient_id', true) FROM medical_records"
            ).fetchone()
            assert row is not None
            assert row[0] == 0
            assert not row[1]
    assert pids


def test_security_21_the_anonymous_role_reaches_no_patient(databases: Databases) -> None:
    for table in TABLES_ABOUT_PATIENTS:
        refused(databases, Principal.ANONYMOUS, f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("principal", [Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS])
def test_security_21_web_roles_cannot_touch_the_trail(databases: Databases, principal: Principal) -> None:
    for table in ("audit_trail", "audit_checkpoints"):
        refused(databases, principal, f"SELECT count(*) FROM {table}")
        refused(databases, principal, f"DELETE FROM {table}")
        refused(databases, principal, f"TRUNCATE {table}")
    refused(databases, principal, "UPDATE audit_trail SET action = 'x'")
    refused(
        databases, principal,
        "INSERT INTO audit_trail (sealed_at, sequence, id, hash, occurred_at, action, outcome) "
        "VALUES (now(), 1, gen_random_uuid(), sha256('x'), now(), 'x.y', 'success')",
    )  # fmt: skip
    for statement in (
        "SELECT count(*) FROM audit_outbox",
        "DELETE FROM audit_outbox",
        "UPDATE audit_outbox SET action = 'x'",
    ):
        refused(databases, principal, statement)


@pytest.mark.parametrize("principal", [Principal.WORKER, Principal.AUDITOR, Principal.BACKUP])
def test_security_21_nobody_updates_or_deletes_the_trail(databases: Databases, principal: Principal) -> None:
    refused(databases, principal, "UPDATE audit_trail SET action = 'x'")
    refused(databases, principal, "DELETE FROM audit_trail")
    refused(databases, principal, "TRUNCATE audit_trail")
    refused(databases, principal, "DELETE FROM audit_checkpoints")


def test_security_21_the_owner_itself_changes_no_sealed_event(databases: Databases) -> None:
    with databases.session(Principal.WORKER) as session:
        session.execute(
            text(
                "INSERT INTO audit_trail (sealed_at, sequence, id, hash, occurred_at, action, outcome) "
                "VALUES (now(), 900000001, gen_random_uuid(), sha256('x'), now(), 'x.y', 'success')"
            )
        )
        with databases.session(Principal.MIGRATOR) as owner:
            for statement in ("UPDATE audit_trail SET action = 'z'", "DELETE FROM audit_trail"):
                changed = owner.execute(text(f"WITH c AS ({statement} RETURNING 1) SELECT count(*) FROM c"))
                assert changed.scalar_one() == 0, statement
        session.rollback()


def test_security_21_the_backup_role_reads_everything(databases: Databases, record_id: uuid.UUID) -> None:
    with databases.session(Principal.BACKUP) as session:
        names = (
            session.execute(
                text(
                    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                    "AND relkind IN ('r', 'p')"
                )
            )
            .scalars()
            .all()
        )
        for name in names:
            session.execute(text(f"SELECT count(*) FROM {name}"))
        assert session.execute(text("SELECT count(*) FROM medical_records")).scalar_one() >= 1
        with pytest.raises(Exception, match="permission denied"):
            session.execute(text("DELETE FROM medical_records"))
        session.rollback()


def test_security_21_only_the_anonymous_role_reads_password_hashes(databases: Databases) -> None:
    for principal in (Principal.STAFF, Principal.PATIENT, Principal.WORKER, Principal.AUDITOR):
        refused(databases, principal, "SELECT password_hash FROM users")
    assert count(databases, Principal.ANONYMOUS, "users") >= 1


def test_a_superusers_url_with_a_role_is_that_role(databases: Databases) -> None:
    for principal in Principal:
        with databases.autocommit(principal) as connection:
            row = connection.execute("SELECT current_user").fetchone()
            assert row == (principal.role,)


def test_a_patient_of_nobody_sees_nothing(databases: Databases, settings: Settings, cast: Cast) -> None:
    other = make_patient(databases, settings, "Ninguém")
    lone = Actor(user_id=cast.patient.id, role=cast.patient.actor.role, name="x", patient_id=other)
    with databases.autocommit(Principal.STAFF) as connection:
        row = connection.execute("SELECT id FROM medical_records LIMIT 1").fetchone()
    assert row is not None
    with pytest.raises(Exception, match="no such record"):
        get_record(databases, lone, row[0])
    assert isinstance(row[0], uuid.UUID)


def test_the_reason_of_an_emergency_access_stays_as_it_was_written(databases: Databases) -> None:
    for column in ("reason = 'outro motivo'", "granted_at = now()", "user_id = user_id"):
        refused(databases, Principal.STAFF, f"UPDATE break_glass_grants SET {column}")
