"""The job that an import is: progress, kills, several at once, cancelling, time limits, uploads, refusals as a file."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import text

from config import Principal
from models import ImportFile, ImportJob, new_id
from models.import_job import PARTS_AT_ONCE
from services import import_spool
from services.errors import Conflict
from services.import_job import Cancelled, Paused
from services.import_rejects import rejects_csv
from services.import_run import run_next_upload
from services.import_upload import file_parts
from tasks import imports
from tests.import_export.conftest import Clinic
from tests.import_export.fhir_samples import (
    as_lines,
    bundle,
    encounter,
    patient,
    whole_bundle,
)
from tests.servers import DatabaseServer

Write = Callable[..., Path]
ROOT = Path(__file__).resolve().parent.parent.parent


def many_patients(count: int) -> str:
    """Bundles of a patient with two records each."""
    bundles = []
    for number in range(count):
        person, first, second = (f"{number:08x}-0000-4000-8000-00000000000{kind}" for kind in range(3))
        of = f"urn:uuid:{person}"
        bundles.append(
            bundle(
                patient(person, name=[{"text": f"Ana {number}"}]),
                encounter(first, of, type=[{"text": "Follow-up encounter"}]),
                encounter(second, of),
            )
        )
    return as_lines(*bundles)


def test_progress_and_the_job_row(write: Write, clinic: Clinic) -> None:
    seen: list[tuple[int, int | None]] = []
    clinic.take(write("b.ndjson", many_patients(400)), progress=lambda done, total: seen.append((done, total)))
    written = [pair for pair in seen if pair[1] is not None]
    assert written[-1] == (1200, 1200)
    assert len(written) >= 3
    assert [done for done, _ in written] == sorted(done for done, _ in written)
    ((state, total, read, created, counts),) = clinic.rows(
        "SELECT state, total, read, created, counts FROM import_jobs"
    )
    assert (state, total, read, created) == ("DONE", 1200, 1200, 1200)
    assert counts["patients.created"] == 400


KILLED = """
import json, signal, sys
from pathlib import Path
from services.import_run import run_import
from tests.conftest import make_settings

given = json.load(sys.stdin)
def progress(done, total):
    if total and done >= 500:
        print(done, flush=True)
        signal.pause()
run_import(make_settings(given["urls"], given["redis"], Path(given["home"])), [Path(given["path"])], progress=progress)
"""


def test_killed_in_the_middle_it_goes_on_where_it_stood(
    write: Write, clinic: Clinic, server: DatabaseServer, fresh_database: str, home: Path
) -> None:
    path = write("b.ndjson", many_patients(600))
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdin is not None
    assert child.stdout is not None
    given = {"urls": server.urls(fresh_database), "redis": "redis://x", "home": str(home), "path": str(path)}
    child.stdin.write(json.dumps(given))
    child.stdin.close()
    done = int(child.stdout.readline())
    with pytest.raises(Conflict, match="running already"):
        clinic.take(path)
    child.kill()
    child.wait(timeout=10)
    child.stdout.close()
    counts = clinic.counts()
    assert 0 < counts["patients"] < 600
    assert counts["medical_records"] == counts["record_versions"] == 2 * counts["patients"]
    ((job_id, state, read),) = clinic.rows("SELECT id, state, read FROM import_jobs")
    assert (state, read) == ("RUNNING", done)
    assert list((home / "imports").iterdir()) == []

    summary = take_when_free(clinic, lambda: clinic.take(path))
    assert (summary.job_id, summary.is_resumed) == (job_id, True)
    assert summary.of("patients", "created") == 600
    assert summary.of("patients", "unchanged") == 0
    counts = clinic.counts()
    assert (counts["patients"], counts["medical_records"], counts["record_versions"]) == (600, 1200, 1200)
    assert clinic.actions() == {
        "import.start": 1, "import.resume": 1, "import.finish": 1, "patient.create": 600, "medical_record.create": 1200,
    }  # fmt: skip


def take_when_free(clinic: Clinic, take: Callable[[], Any]) -> Any:
    """The server takes a moment to see that a client is gone, and with it its lock: wait for that."""
    for _ in range(200):
        try:
            if (summary := take()) is not None:
                return summary
        except Conflict:
            pass
        clinic.rows("SELECT pg_sleep(0.05)")
    raise AssertionError("the killed import's lock was never released")


def test_two_imports_of_overlapping_sources_at_once(write: Write, clinic: Clinic) -> None:
    paths = [write(f"{number}.ndjson", many_patients(300)) for number in range(3)]
    failures: list[BaseException] = []

    def work(path: Path) -> None:
        try:
            clinic.take(path)
        except BaseException as error:  # noqa: BLE001  (the test's thread reports to the test)
            failures.append(error)

    threads = [threading.Thread(target=work, args=[path]) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    counts = clinic.counts()
    assert (counts["patients"], counts["medical_records"], counts["import_rejects"]) == (300, 600, 0)
    assert clinic.actions()["patient.create"] == 300


def test_cancelled_it_stops_and_keeps_what_it_had(write: Write, clinic: Clinic) -> None:
    def cancel(done: int, total: int | None) -> None:
        if total is not None:
            with clinic.databases.session(Principal.WORKER) as session:
                session.execute(text("UPDATE import_jobs SET state = 'CANCELLED'"))

    with pytest.raises(Cancelled):
        clinic.take(write("b.ndjson", many_patients(600)), progress=cancel)
    counts = clinic.counts()
    assert 0 < counts["patients"] < 600
    assert counts["medical_records"] == 2 * counts["patients"]


def test_refusals_as_a_file(write: Write, clinic: Clinic) -> None:
    clinic.take(write("=cmd.csv", "source,patient_id,full_name\nerp,1,\nerp,2,Ana\n"))
    with clinic.databases.session(Principal.STAFF) as session:
        job_id = session.query(ImportJob.id).scalar()
        content = b"".join(rejects_csv(session, job_id)).decode()
        assert content == "file,line,pointer,reason\r\n'=cmd.csv,2,full_name,full_name is missing\r\n"
        assert b"".join(rejects_csv(session, uuid.uuid4())) == b"file,line,pointer,reason\r\n"


def upload(clinic: Clinic, content: bytes, name: str = "b.ndjson") -> uuid.UUID:
    with clinic.databases.session(Principal.STAFF) as session:
        job = ImportJob(id=new_id(), format="auto", source_digest=b"x", options={}, position={}, counts={})
        session.add(job)
        session.flush()
        session.add(ImportFile(job_id=job.id, number=1, name=name, sha256=b"x", size=len(content)))
        session.add_all(file_parts(job.id, 1, content))
        return job.id


def test_uploads_are_worked_off_oldest_first(clinic: Clinic) -> None:
    first = upload(clinic, as_lines(whole_bundle()).encode())
    second = upload(clinic, b"not json", "x.json")
    summary = run_next_upload(clinic.settings)
    assert summary is not None
    assert (summary.job_id, summary.of("records", "created")) == (first, 1)
    summary = run_next_upload(clinic.settings)
    assert summary is not None
    assert (summary.job_id, summary.rejected) == (second, 1)
    assert run_next_upload(clinic.settings) is None
    assert clinic.one("SELECT count(*) FROM import_files") == 0
    assert clinic.one("SELECT count(*) FROM import_file_parts") == 0
    assert clinic.rows("SELECT DISTINCT state FROM import_jobs") == [("DONE",)]


def test_a_file_of_many_parts_is_read_in_their_order(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.import_upload.PART_BYTES", 1_000)
    upload(clinic, many_patients(40).encode())
    assert clinic.one("SELECT count(*) FROM import_file_parts") > 2 * PARTS_AT_ONCE
    summary = run_next_upload(clinic.settings)
    assert summary is not None
    assert (summary.of("patients", "created"), summary.rejected) == (40, 0)
    assert clinic.one("SELECT count(*) FROM import_file_parts") == 0


def test_out_of_time_it_stops_behind_a_batch_and_goes_on_later(clinic: Clinic) -> None:
    job_id = upload(clinic, many_patients(400).encode())
    with pytest.raises(Paused):
        run_next_upload(clinic.settings, seconds=0)
    assert clinic.one("SELECT state FROM import_jobs") == "RUNNING"
    assert 0 < clinic.counts()["patients"] < 400
    summary = take_when_free(clinic, lambda: run_next_upload(clinic.settings))
    assert (summary.job_id, summary.is_resumed, summary.of("patients", "created")) == (job_id, True, 400)
    assert clinic.one("SELECT state FROM import_jobs") == "DONE"


def test_the_worker_task_works_off_what_waits(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "settings", lambda: clinic.settings)
    cancelled = upload(clinic, as_lines(whole_bundle()).encode())
    with clinic.databases.session(Principal.WORKER) as session:
        session.execute(text("UPDATE import_jobs SET state = 'CANCELLED' WHERE id = :id"), {"id": cancelled})
    upload(clinic, as_lines(whole_bundle()).encode())
    upload(clinic, b"{")
    # An application of the test's own: another test may have made the worker's the current one.
    task = Celery("imports", set_as_current=False).tasks["imports.run"]
    assert task.run() == 2
    assert task.run() == 0
    assert clinic.counts()["patients"] == 1


def test_an_upload_in_work_is_left_to_its_worker(clinic: Clinic) -> None:
    upload(clinic, many_patients(400).encode())
    others: list[object] = []
    run_next_upload(clinic.settings, progress=lambda *_: others.append(run_next_upload(clinic.settings)))
    assert others
    assert set(others) == {None}


def test_a_patient_with_more_records_than_one_transaction_takes(
    write: Write, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_spool, "UNIT_MAX", 10)
    rows = "".join(f"erp,r{number},p1,2020-01-01T10:00:00Z,Nota {number}\n" for number in range(35))
    folder = write("in/records.csv", "source,record_id,patient_id,start,title\n" + rows).parent
    write("in/patients.csv", "source,patient_id,full_name\nerp,p1,Ana\n")
    summary = clinic.take(folder)
    assert (summary.of("patients", "created"), summary.of("records", "created"), summary.rejected) == (1, 35, 0)
    assert clinic.take(folder).of("records", "unchanged") == 35


def test_an_unexpected_fault_ends_the_job_without_quoting_anything(write: Write, clinic: Clinic) -> None:
    def fail(done: int, total: int | None) -> None:
        raise ValueError("Conceição Maria Ávila")

    path = write("b.json", json.dumps(whole_bundle()))
    with pytest.raises(ValueError, match="Conceição"):
        clinic.take(path, progress=fail)
    assert clinic.rows("SELECT state, error FROM import_jobs") == [("FAILED", "stopped by an unexpected ValueError")]
    assert clinic.one("SELECT outcome FROM audit_outbox WHERE action = 'import.finish'") == "failure"
    assert clinic.take(path).of("records", "unchanged") == 1


def test_the_summary_tells_what_was_refused_and_passed_over(write: Write, clinic: Clinic) -> None:
    claim = {"resourceType": "Claim"}
    lines = str(clinic.take(write("b.ndjson", as_lines(whole_bundle(), claim, claim) + "{\n" * 12))).splitlines()
    assert lines[0].startswith("refused: b.ndjson:4: not well-formed JSON: expecting property name enclosed in")
    assert lines[10:12] == ["refused: 2 more", "passed over, of types that are not kept: 2 Claim"]
    assert lines[12].startswith("Imported: 1 patients, 1 records, 0 allergies (2 created, 0 updated")
    assert "12 refused" in lines[12]
