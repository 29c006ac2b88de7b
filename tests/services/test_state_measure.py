"""What /metrics reads about the clinic: each number is what is so, asked in two statements."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal, Settings
from models import AuditCheck, CheckpointSink, ImportJob, JobRun, Visit
from models.engine import Databases
from models.raw_connection import RawConnection
from observability.state_metrics import STATE_METRICS, state_families
from services.audit_check_note import TrailCheck
from services.audit_checkpoint import signer_of, write_checkpoint
from services.audit_drain import drain
from services.field_encryption import field_cipher
from services.job_schedule import BACKUP, CLEANUP, DIGEST, JOBS, VERIFY
from services.record_create import NewRecord, create_record
from services.state_measure import COUNTED, Readings, measure_state, rpo
from tests.audit.trail import write_events
from tests.conftest import make_settings
from tests.factories.alert import make_alert
from tests.factories.backup import make_backup
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, make_cast, make_patient
from tests.factories.dead_letter import make_dead_letter
from tests.factories.emergency import make_grant
from tests.factories.question import make_question
from tests.servers import DatabaseServer

NOW = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)  # half past twelve in São Paulo
# Read elsewhere: from Redis, and from the model's server.
NOT_OF_THE_DATABASE = {"sigilo_queue_depth", "sigilo_queue_oldest_age_seconds", "sigilo_ai_model_up"}
# Of a good backup, and of base backups in an archive.
OF_WHAT_IS_NOT_THERE_YET = {
    "sigilo_backup_rpo_seconds", "sigilo_base_backup_age_seconds", "sigilo_wal_archive_gap",
}  # fmt: skip


@pytest.fixture
def own_cast(fresh_databases: Databases, fresh_settings: Settings) -> Cast:
    return make_cast(fresh_databases, fresh_settings)


def read(databases: Databases, settings: Settings, now: datetime | None = None) -> Readings:
    return measure_state(databases, settings, now or datetime.now(UTC))


def test_a_new_clinic_has_a_number_for_everything_and_two_statements_find_it(
    fresh_databases: Databases, fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute = RawConnection.execute

    def noted(self: RawConnection, query: Any, *given: Any, **options: Any) -> Any:
        asked.append(str(query))
        return execute(self, query, *given, **options)

    monkeypatch.setattr(RawConnection, "execute", noted)
    found = read(fresh_databases, fresh_settings)
    assert sum("SELECT" in each for each in asked) == 2, asked
    assert set(found) == {each.name for each in STATE_METRICS} - NOT_OF_THE_DATABASE - OF_WHAT_IS_NOT_THERE_YET
    for metric in STATE_METRICS:
        reading = found.get(metric.name)
        assert metric.label is not None or not isinstance(reading, dict), metric.name
    assert found["sigilo_visits"] == {"waiting": 0, "in_care": 0, "done": 0, "left": 0}
    assert found["sigilo_backup_last_good_timestamp_seconds"] == 0
    assert found["sigilo_audit_verified_timestamp_seconds"] == 0
    assert found["sigilo_backup_size_bytes"] is None


def test_the_day_of_the_clinic(fresh_databases: Databases, fresh_settings: Settings, own_cast: Cast) -> None:
    midnight = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    with fresh_databases.session(Principal.STAFF) as session:
        for status, arrived, closed in (
            ("DONE", midnight - timedelta(minutes=30), midnight + timedelta(minutes=5)),
            ("DONE", midnight - timedelta(hours=3), midnight - timedelta(minutes=5)),
            ("LEFT", midnight, NOW),
            ("WAITING", NOW - timedelta(days=400), None),
        ):
            patient = make_patient(fresh_databases, fresh_settings)
            session.add(
                Visit(patient_id=patient, reason="Febre", priority="NORMAL", status=status, arrived_at=arrived,
                      closed_at=closed)
            )  # fmt: skip
    found = read(fresh_databases, fresh_settings, NOW)
    assert found["sigilo_visits"] == {"waiting": 1, "in_care": 0, "done": 1, "left": 1}
    waited = found["sigilo_visit_wait_seconds"]
    assert isinstance(waited, float) and waited > 399 * 86400
    assert found["sigilo_patients"] == 2 + 4  # the cast's, and these


def test_beyond_what_is_counted_postgresql_estimates(fresh_databases: Databases, fresh_settings: Settings) -> None:
    patient = make_patient(fresh_databases, fresh_settings)
    copy = text(
        "INSERT INTO patients (id, full_name, sex, audit_key_cipher)"
        " SELECT gen_random_uuid(), 'Cópia', 'UNKNOWN', audit_key_cipher FROM patients, generate_series(1, :n)"
        " WHERE id = :id"
    )
    with fresh_databases.session(Principal.STAFF) as session:
        session.execute(copy, {"id": patient, "n": COUNTED + 500})
    assert read(fresh_databases, fresh_settings)["sigilo_patients"] == COUNTED, "nobody has counted them yet"
    with fresh_databases.session(Principal.MIGRATOR) as session:
        session.execute(text("ANALYZE patients"))
    assert read(fresh_databases, fresh_settings)["sigilo_patients"] == pytest.approx(COUNTED + 501, rel=0.05)


def test_people_alerts_questions_imports_and_failed_work(
    fresh_databases: Databases, fresh_settings: Settings, own_cast: Cast
) -> None:
    for person in (own_cast.doctor, own_cast.doctor, own_cast.auditor):
        open_session(fresh_databases, person)
    make_alert(fresh_databases, own_cast.doctor2)
    make_grant(fresh_databases, own_cast.doctor2, own_cast.patient_id, minutes_left=9)
    make_grant(fresh_databases, own_cast.doctor2, own_cast.patient_id)
    make_dead_letter(fresh_databases)
    note = NewRecord(own_cast.patient_id, {"title": "Consulta", "diagnosis": "Cefaleia"})
    with fresh_databases.session(Principal.STAFF) as session:
        create_record(session, own_cast.doctor.actor, field_cipher(fresh_settings), note)
    make_question(fresh_databases, fresh_settings, own_cast.doctor, own_cast.patient_id, is_answered=False)
    with fresh_databases.session(Principal.STAFF) as session:
        for state in ("QUEUED", "DONE", "DONE"):
            session.add(ImportJob(state=state, format="csv", source_digest=b"x"))
    found = read(fresh_databases, fresh_settings)
    sessions, jobs = found["sigilo_sessions"], found["sigilo_import_jobs"]
    assert isinstance(sessions, dict) and isinstance(jobs, dict)
    assert (sessions["doctor"], sessions["auditor"], sessions["patient"]) == (2, 1, 0)
    assert jobs == {"queued": 1, "running": 0, "done": 2, "failed": 0, "cancelled": 0}
    assert found["sigilo_access_alerts_open"] == 1
    assert (found["sigilo_emergency_accesses_open"], found["sigilo_emergency_accesses_unreviewed"]) == (1, 2)
    for oldest in ("sigilo_access_alerts_oldest_age_seconds", "sigilo_emergency_accesses_oldest_age_seconds"):
        age = found[oldest]
        assert isinstance(age, float) and age > 0, oldest
    assert found["sigilo_dead_letters_open"] == 1
    assert (found["sigilo_ai_waiting"], found["sigilo_records"]) == (1, 1)


def test_slots_of_timed_jobs(fresh_databases: Databases, fresh_settings: Settings) -> None:
    slots = {job.task: job.latest_slot(NOW, fresh_settings.timezone) or NOW for job in JOBS}
    done = NOW - timedelta(minutes=10)

    def run(job: str, **values: Any) -> JobRun:
        return JobRun(job=job, slot=slots[job], **({"started_at": slots[job], "finished_at": done} | values))

    with fresh_databases.session(Principal.WORKER) as session:
        session.add(run(CLEANUP, outcome="success"))
        session.add(run(BACKUP, outcome="failure"))
        # Its worker died of it; what it came to a day before does not count.
        session.add(run(VERIFY, finished_at=None, started_at=NOW - timedelta(hours=3)))
    found = read(fresh_databases, fresh_settings, NOW)
    late, failed = found["sigilo_scheduler_slot_late"], found["sigilo_job_run_failed"]
    last = found["sigilo_scheduler_last_run_timestamp_seconds"]
    assert isinstance(late, dict) and isinstance(failed, dict) and isinstance(last, dict)
    assert late == {CLEANUP: 0, BACKUP: 0, VERIFY: 1, "audit.partitions": 1, "chain.archive": 1, DIGEST: 1}
    assert failed == dict.fromkeys(late, 0) | {BACKUP: 1}
    assert last == dict.fromkeys(late, 0) | {CLEANUP: done.timestamp(), BACKUP: done.timestamp()}
    soon = slots[CLEANUP] + timedelta(hours=1, minutes=4)
    begun = read(fresh_databases, fresh_settings, soon)["sigilo_scheduler_slot_late"]
    over = read(fresh_databases, fresh_settings, soon + timedelta(minutes=2))["sigilo_scheduler_slot_late"]
    assert isinstance(begun, dict) and isinstance(over, dict)
    assert (begun[CLEANUP], over[CLEANUP]) == (0, 1), "five minutes are given to it"


def test_how_far_the_trail_is_sealed_signed_and_verified(
    fresh_databases: Databases, fresh_settings: Settings, server: DatabaseServer
) -> None:
    signer = signer_of(fresh_settings)
    write_events(fresh_databases, 5)
    found = read(fresh_databases, fresh_settings)
    age = found["sigilo_audit_outbox_age_seconds"]
    assert found["sigilo_audit_outbox_events"] == 5 and isinstance(age, float) and age > 0
    assert found["sigilo_audit_checkpoint_overdue_seconds"] == 0, "nothing is sealed yet"
    with fresh_databases.session(Principal.WORKER) as session:
        drain(session, now=datetime.now(UTC) - timedelta(minutes=7))
    found = read(fresh_databases, fresh_settings)
    assert found["sigilo_audit_outbox_events"] == found["sigilo_audit_outbox_age_seconds"] == 0
    assert found["sigilo_audit_checkpoint_overdue_seconds"] == pytest.approx(420, abs=60)
    with fresh_databases.session(Principal.WORKER) as session:
        write_checkpoint(session, signer)
    assert read(fresh_databases, fresh_settings)["sigilo_audit_checkpoint_overdue_seconds"] == 0
    for problems, failed in ((0, False), (2, True)):
        check = TrailCheck(NOW, 5, 5, problems)
        with fresh_databases.session(Principal.WORKER) as session:
            session.execute(text("DELETE FROM audit_checks"))
            session.add(AuditCheck(ended_at=NOW, note=signer.sign(check.text())))
        found = read(fresh_databases, fresh_settings)
        assert found["sigilo_audit_verification_failed"] is failed
        assert found["sigilo_audit_verified_timestamp_seconds"] == (0 if failed else NOW.timestamp())
    with fresh_databases.session(Principal.WORKER) as session:
        session.execute(text("DELETE FROM audit_checks"))
        session.add(AuditCheck(ended_at=NOW, note="the word of whoever can write a row"))
    assert read(fresh_databases, fresh_settings)["sigilo_audit_verified_timestamp_seconds"] == 0


def test_places_of_checkpoints_are_named_by_their_kind_alone(
    fresh_databases: Databases, fresh_settings: Settings
) -> None:
    places = {
        "file:///srv/a": None, "file:///srv/b": "full", "mailto:notario@example.org": None,
        "https://host.example #0a1b2c": "503", "s3://bucket/prefix": None,
    }  # fmt: skip
    with fresh_databases.session(Principal.WORKER) as session:
        session.add_all(CheckpointSink(name=name, failure=failure) for name, failure in places.items())
    found = read(fresh_databases, fresh_settings)["sigilo_audit_checkpoint_sink_failed"]
    assert found == {"folder": 1, "mail": 0, "webhook": 1, "s3": 0}


def test_backups_their_drills_and_what_a_restore_would_give(
    fresh_databases: Databases, fresh_settings: Settings
) -> None:
    make_backup(fresh_databases)
    found = read(fresh_databases, fresh_settings)
    assert (found["sigilo_backup_size_bytes"], found["sigilo_backup_seconds"]) == (123_456_789, 120.0)
    assert found["sigilo_backup_restore_seconds"] == pytest.approx(93.4)
    assert found["sigilo_backup_rpo_seconds"] == pytest.approx(3600, abs=60)
    drilled = found["sigilo_backup_drill_last_good_timestamp_seconds"]
    assert isinstance(drilled, float) and drilled == pytest.approx(datetime.now(UTC).timestamp() - 3420, abs=60)
    make_backup(fresh_databases, state="FAILED", failure="x", manifest=None, verified_at=None, size=None,
                finished_at=datetime.now(UTC))  # fmt: skip
    found = read(fresh_databases, fresh_settings)
    assert (found["sigilo_backup_failed"], found["sigilo_backup_size_bytes"]) == (True, 123_456_789)


def test_of_a_server_that_is_away_nothing_is_said(home: Any) -> None:
    urls = dict.fromkeys(map(str, Principal), "postgresql://nobody@127.0.0.1:1/none")
    nowhere = make_settings(urls, "redis://127.0.0.1:1/0", home)
    assert read(Databases(urls), nowhere) == {}


def test_what_was_not_read_is_nan_or_absent() -> None:
    for family in state_families({}):
        labelled = next(each.label for each in STATE_METRICS if each.name == family.name) is not None
        values = [sample.value for sample in family.samples]
        assert values == [] if labelled else [math.isnan(value) for value in values] == [True], family.name


BASES = {"full": 90_000.0, "differential": 4_000.0}


@pytest.mark.parametrize(
    ("archive", "seconds"),
    [
        ({"sigilo_wal_archive_age_seconds": None}, 3600),
        ({"sigilo_wal_archive_age_seconds": 40.0}, 40),  # another program's, of which nobody tells more
        ({"sigilo_base_backup_age_seconds": BASES, "sigilo_wal_archive_gap": False}, 40),
        ({"sigilo_base_backup_age_seconds": BASES, "sigilo_wal_archive_gap": True}, 3600),
        ({"sigilo_base_backup_age_seconds": {}, "sigilo_wal_archive_gap": False}, 3600),
    ],
)
def test_an_archive_that_plays_nothing_back_promises_nothing(archive: Readings, seconds: float) -> None:
    good_at = NOW.timestamp() - 3600
    found = {"sigilo_backup_last_good_timestamp_seconds": good_at, "sigilo_wal_archive_age_seconds": 40.0} | archive
    assert rpo(found, NOW) == {"sigilo_backup_rpo_seconds": seconds}
