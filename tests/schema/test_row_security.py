"""SECURITY 21: what each database role can reach, tried by connecting as it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from psycopg import errors
from sqlalchemy import delete, insert, text

from config import Principal, Settings
from models import PasswordLink, Role, RoleRequest, new_id
from models.engine import Databases
from services.actor import Actor
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from services.record_get import get_record
from tests.factories.cast import Cast, Person, make_patient, make_person
from tests.factories.emergency import make_grant

pytestmark = pytest.mark.database

TABLES_ABOUT_PATIENTS = (
    "patients", "patient_versions", "allergies", "visits", "care_team_members", "break_glass_grants", "notifications",
    "medical_records", "record_versions", "drafts", "import_files", "import_file_parts", "import_rejects",
    "audit_outbox", "audit_trail",
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


def write(databases: Databases, principal: Principal, statement: str) -> int:
    """How many rows the statement changed; nothing is kept."""
    with databases.session(principal) as session:
        changed: int = session.connection().exec_driver_sql(statement).rowcount
        session.rollback()
        return changed


@pytest.fixture
def two_admins(databases: Databases) -> tuple[Person, Person]:
    return make_person(databases, Role.ADMIN, "Ana Prates"), make_person(databases, Role.ADMIN, "Rui Prates")


@pytest.fixture
def asked(databases: Databases, cast: Cast, two_admins: tuple[Person, Person]) -> Iterator[uuid.UUID]:
    """A request that somebody of reception becomes a doctor: nobody decided on it."""
    request = new_id()
    with databases.session(Principal.STAFF) as session:
        values = {"user_id": cast.reception.id, "role": "DOCTOR", "reason": "x", "requested_by": two_admins[0].id}
        session.execute(insert(RoleRequest).values(id=request, **values))
    try:
        yield request
    finally:
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(delete(RoleRequest).where(RoleRequest.id == request))


def test_a_request_for_a_role_begins_undecided_and_is_decided_once(
    databases: Databases, cast: Cast, two_admins: tuple[Person, Person], asked: uuid.UUID
) -> None:
    decided = "decided_by, decided_at, outcome"
    refused(
        databases, Principal.STAFF,
        f"INSERT INTO role_requests (id, user_id, role, reason, requested_by, {decided}) VALUES (gen_random_uuid(), "
        f"'{cast.nurse.id}', 'ADMIN', 'x', '{two_admins[0].id}', '{two_admins[1].id}', now(), 'approved')",
    )  # fmt: skip
    for column in ("user_id = user_id", "role = 'ADMIN'", "reason = 'y'", "requested_by = requested_by"):
        refused(databases, Principal.STAFF, f"UPDATE role_requests SET {column}")
    one = f"WHERE id = '{asked}'"
    approve = f"decided_at = now(), decided_by = '{two_admins[1].id}', outcome = 'approved'"
    assert write(databases, Principal.STAFF, f"UPDATE role_requests SET {approve} {one}") == 1
    with databases.session(Principal.STAFF) as session:
        session.execute(text(f"UPDATE role_requests SET {approve} {one}"))
    assert write(databases, Principal.STAFF, f"UPDATE role_requests SET outcome = 'declined' {one}") == 0
    undo = "decided_at = NULL, decided_by = NULL, outcome = NULL"
    assert write(databases, Principal.STAFF, f"UPDATE role_requests SET {undo} {one}") == 0


def test_a_role_that_needs_two_people_is_given_by_two(
    databases: Databases, cast: Cast, two_admins: tuple[Person, Person], asked: uuid.UUID
) -> None:
    def give(role: str, by: Person, to: Person = cast.reception) -> str:
        return f"INSERT INTO user_roles (user_id, role, granted_by) VALUES ('{to.id}', '{role}', '{by.id}')"

    first, second = two_admins
    for role in ("DOCTOR", "NURSE", "ADMIN"):
        refused(databases, Principal.STAFF, give(role, first))
    assert write(databases, Principal.STAFF, give("AUDITOR", first)) == 1
    with databases.autocommit(Principal.STAFF) as connection, pytest.raises(errors.CheckViolation):
        connection.execute(give("AUDITOR", first, to=first))
    with databases.session(Principal.STAFF) as session:
        session.execute(
            text("UPDATE role_requests SET decided_at = now(), decided_by = :who, outcome = 'approved' WHERE id = :id"),
            {"who": second.id, "id": asked},
        )
    assert write(databases, Principal.STAFF, give("DOCTOR", first)) == 1
    refused(databases, Principal.STAFF, give("DOCTOR", first, to=cast.nurse))
    refused(databases, Principal.STAFF, "UPDATE user_roles SET role = 'ADMIN'")


def test_a_link_that_was_withdrawn_or_used_stays_so(databases: Databases, cast: Cast) -> None:
    link = new_id()
    with databases.session(Principal.STAFF) as session:
        session.execute(insert(PasswordLink).values(id=link, user_id=cast.nurse2.id, kind="reset"))
    one = f"WHERE id = '{link}'"
    with databases.session(Principal.WORKER) as session:
        sent = "secret_hash = sha256('x'), expires_at = now() + interval '1 day', sent_at = now()"
        session.execute(text(f"UPDATE password_links SET {sent} {one}"))
    for column in ("user_id = user_id", "used_at = NULL", "withdrawn_at = NULL", "requested_by = NULL"):
        refused(databases, Principal.WORKER, f"UPDATE password_links SET {column}")
    for principal, column in ((Principal.STAFF, "withdrawn_at"), (Principal.ANONYMOUS, "used_at")):
        with databases.session(principal) as session:
            session.execute(text(f"UPDATE password_links SET {column} = now() {one}"))
        for value in ("NULL", "now() + interval '1 day'"):
            assert write(databases, principal, f"UPDATE password_links SET {column} = {value} {one}") == 0
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text(f"DELETE FROM password_links {one}"))


def test_a_final_verdict_on_an_emergency_access_is_final(databases: Databases, settings: Settings, cast: Cast) -> None:
    grant = make_grant(databases, cast.doctor2, make_patient(databases, settings, "Visto Uma Vez"))
    one = f"WHERE id = '{grant}'"
    review = f"reviewed_at = now(), reviewed_by = '{cast.doctor.id}', verdict"
    for verdict, changed in (("FOLLOW_UP", 1), ("NOT_JUSTIFIED", 1), ("JUSTIFIED", 0), ("FOLLOW_UP", 0)):
        with databases.session(Principal.STAFF) as session:
            statement = f"UPDATE break_glass_grants SET {review} = '{verdict}' {one}"
            assert session.connection().exec_driver_sql(statement).rowcount == changed, verdict
    assert write(databases, Principal.STAFF, f"UPDATE break_glass_grants SET review_note = 'z' {one}") == 0
