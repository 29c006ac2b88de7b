"""Running an import: once, again, changed, killed, at the same time, cancelled, uploaded."""

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
from sqlalchemy import text

from config import Principal
from models import ImportFile, ImportJob, MedicalRecord, new_id
from models.user import IMPORT_USER_ID, Role
from services import import_spool
from services.errors import Conflict, Invalid
from services.import_job import Cancelled, Paused
from services.import_rejects import rejects_csv
from services.import_run import run_next_upload
from tasks import imports
from tests.factories.cast import make_person
from tests.import_export.conftest import Clinic
from tests.import_export.fhir_samples import (
    RNDS_CPF,
    UUID_1,
    UUID_2,
    VALID_CPF,
    allergy,
    as_lines,
    bundle,
    condition,
    encounter,
    medication,
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


def test_a_bundle_becomes_rows_versions_and_events(write: Write, clinic: Clinic) -> None:
    summary = clinic.take(write("b.json", json.dumps(whole_bundle())))
    assert str(summary).startswith(
        "Imported: 1 patients, 1 records, 0 allergies (2 created, 0 updated, 0 unchanged), 0"
    )
    ((record_id, patient_id, version, restricted),) = clinic.rows(
        "SELECT id, patient_id, version, restricted FROM medical_records"
    )
    assert (version, restricted) == (1, False)
    ((content, changed_by),) = clinic.rows("SELECT content, changed_by FROM record_versions")
    assert changed_by == IMPORT_USER_ID
    assert (content["diagnosis"], content["cid10Codes"]) == ("Hipertensão essencial", ["I10"])
    events = clinic.rows(
        "SELECT action, actor_id, actor_role, entity_id, patient_id, to_version, basis, basis_id, changes "
        "FROM audit_outbox WHERE entity_type <> 'import_job' ORDER BY action"
    )
    assert [event[:8] for event in events] == [
        ("medical_record.create", IMPORT_USER_ID, "SYSTEM", record_id, patient_id, 1, "import", summary.job_id),
        ("patient.create", IMPORT_USER_ID, "SYSTEM", patient_id, patient_id, 1, "import", summary.job_id),
    ]
    assert "Hipertensão" not in json.dumps(events[0][8], ensure_ascii=False)
    assert {change["field"] for change in events[0][8]} >= {"title", "diagnosis", "treatment", "cid10Codes"}


def test_restricted_by_its_codes(write: Write, clinic: Clinic) -> None:
    hiv = condition(code={"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "B24"}], "text": "HIV"})
    clinic.take(write("b.json", json.dumps(bundle(patient(), encounter(), hiv))))
    assert clinic.one("SELECT restricted FROM medical_records") is True


def test_what_changed_at_the_source_is_the_next_version(write: Write, clinic: Clinic) -> None:
    clinic.take(write("b.json", json.dumps(bundle(patient(), encounter(), condition(), allergy()))))
    changed = bundle(
        patient(gender="unknown", identifier=[{"system": RNDS_CPF, "value": VALID_CPF}]),
        encounter(),
        condition(code={"text": "Hipertensão, controlada"}),
        allergy(code={"text": "Dipirona sódica"}),
    )
    path = write("b.json", json.dumps(changed))
    summary = clinic.take(path)
    assert [summary.of(kind, "updated") for kind in ("patients", "records", "allergies")] == [1, 1, 1]
    assert clinic.rows("SELECT version, diagnosis FROM medical_records") == [(2, "Hipertensão, controlada")]
    assert clinic.rows("SELECT version, sex, cpf_index IS NOT NULL FROM patients") == [(2, "UNKNOWN", True)]
    assert clinic.one("SELECT substance FROM allergies") == "Dipirona sódica"
    assert clinic.rows("SELECT version, content->>'diagnosis' FROM record_versions ORDER BY version") == [
        (1, "Hipertensão essencial"),
        (2, "Hipertensão, controlada"),
    ]
    assert clinic.rows("SELECT version, content->>'sex' FROM patient_versions ORDER BY version") == [
        (1, "FEMALE"),
        (2, "UNKNOWN"),
    ]
    ((before, after, changes),) = clinic.rows(
        "SELECT from_version, to_version, changes FROM audit_outbox WHERE action = 'medical_record.update'"
    )
    assert (before, after, sorted(change["field"] for change in changes)) == (1, 2, ["cid10Codes", "diagnosis"])
    assert clinic.take(path).of("records", "unchanged") == 1


def correct_here(clinic: Clinic, **values: Any) -> None:
    """What a person of the clinic does to the one record there is: the next version, by somebody else."""
    person = make_person(clinic.databases, Role.DOCTOR, "Outra Autora")
    with clinic.databases.session(Principal.STAFF) as session:
        record = session.query(MedicalRecord).one()
        for name, value in values.items():
            setattr(record, name, value)
        session.flush()
        session.execute(
            text(
                "INSERT INTO record_versions (record_id, version, patient_id, content, changed_by) "
                "VALUES (:id, :version, :patient, '{}', :by)"
            ),
            {"id": record.id, "version": record.version, "patient": record.patient_id, "by": person.id},
        )


def test_what_was_corrected_here_survives_the_same_import(write: Write, clinic: Clinic) -> None:
    path = write("b.json", json.dumps(whole_bundle()))
    clinic.take(path)
    correct_here(clinic, diagnosis="Hipertensão secundária")
    summary = clinic.take(path)
    assert (summary.of("records", "unchanged"), summary.rejected) == (1, 0)
    assert clinic.rows("SELECT version, diagnosis FROM medical_records") == [(2, "Hipertensão secundária")]


def test_changed_here_and_at_the_source_is_refused(write: Write, clinic: Clinic) -> None:
    clinic.take(write("b.json", json.dumps(whole_bundle())))
    correct_here(clinic, diagnosis="Hipertensão secundária")
    changed = bundle(patient(), encounter(), condition(code={"text": "Outra"}), medication())
    summary = clinic.take(write("b.json", json.dumps(changed)))
    assert summary.rejected == 1
    assert clinic.reasons()[-1].startswith("it was changed here since it was imported, and at its source too")
    assert clinic.one("SELECT diagnosis FROM medical_records") == "Hipertensão secundária"


def test_an_incomplete_source_empties_no_record(write: Write, clinic: Clinic) -> None:
    clinic.take(write("b.json", json.dumps(whole_bundle())))
    summary = clinic.take(write("b.json", json.dumps(bundle(patient(), encounter()))))
    assert (summary.of("records", "updated"), summary.rejected) == (0, 1)
    assert clinic.reasons()[0].startswith("it would lose its diagnosis or treatment")
    assert clinic.one("SELECT diagnosis FROM medical_records") == "Hipertensão essencial"


def test_records_of_a_patient_imported_earlier(write: Write, clinic: Clinic) -> None:
    clinic.take(write("p.ndjson", as_lines(patient())))
    summary = clinic.take(write("e.ndjson", as_lines(encounter(), condition())))
    assert (summary.of("records", "created"), summary.rejected) == (1, 0)


def test_clinical_entries_without_their_patient_are_refused(write: Write, clinic: Clinic) -> None:
    summary = clinic.take(write("e.ndjson", as_lines(encounter(), condition(), allergy())))
    assert (summary.taken, summary.rejected) == (0, 2)
    assert set(clinic.reasons()) == {"its patient is neither in this import nor in the database, or was refused"}
    assert clinic.counts()["medical_records"] == 0


def test_a_cpf_belongs_to_one_patient(write: Write, clinic: Clinic) -> None:
    cpf = [{"system": RNDS_CPF, "value": VALID_CPF}]
    other = "99999999-9999-4999-8999-999999999999"
    same = as_lines(patient(identifier=cpf), patient(other, identifier=cpf, name=[{"text": "Eva"}]))
    summary = clinic.take(write("p.ndjson", same))
    assert (summary.of("patients", "created"), summary.rejected) == (1, 1)
    clinic.take(write("q.ndjson", as_lines(patient(other, identifier=cpf, name=[{"text": "Eva"}]))))
    assert set(clinic.reasons()) == {"another patient here has this CPF: see whether they are one person"}
    assert clinic.counts()["patients"] == 1


def test_security_23_a_cpf_that_serves_as_an_id_is_not_stored(write: Write, clinic: Clinic) -> None:
    path = write("p.ndjson", as_lines(patient(VALID_CPF), encounter("e-1", f"Patient/{VALID_CPF}")))
    clinic.take(path)
    assert clinic.take(path).of("records", "unchanged") == 1
    for table in ("patients", "patient_versions", "medical_records", "audit_outbox", "import_rejects"):
        assert VALID_CPF not in "".join(row for (row,) in clinic.rows(f"SELECT t::text FROM {table} t")), table


def test_another_person_under_a_local_id_is_refused(write: Write, clinic: Clinic) -> None:
    """Two hospitals each have a Patient/1; the second must not overwrite the first."""
    clinic.take(write("p.json", json.dumps(patient("1"))))
    other = write("q.json", json.dumps(patient("1", name=[{"text": "João Lima"}], birthDate="1950-01-01")))
    summary = clinic.take(other)
    assert (summary.of("patients", "updated"), summary.rejected) == (0, 1)
    assert "another person" in clinic.reasons()[0]
    assert clinic.take(other, source="hospital-b").of("patients", "created") == 1
    assert clinic.counts()["patients"] == 2


def test_the_responsible_doctor_has_every_new_patient(write: Write, clinic: Clinic) -> None:
    doctor = make_person(clinic.databases, Role.DOCTOR, "Ana Responsável")
    clinic.take(write("b.json", json.dumps(whole_bundle())), responsible=doctor.email.upper())
    assert clinic.one("SELECT responsible_id FROM patients") == doctor.id
    assert clinic.rows("SELECT user_id, origin FROM care_team_members") == [(doctor.id, "RESPONSIBLE")]
    assert clinic.actions()["care_team.add"] == 1


def test_arguments_that_name_nothing(write: Write, clinic: Clinic, tmp_path: Path) -> None:
    path = write("b.json", json.dumps(whole_bundle()))
    nurse = make_person(clinic.databases, Role.NURSE, "Rita")
    for options in ({"source_format": "xml"}, {"responsible": nurse.email}, {"source": "a\nb"}, {"source": "x" * 201}):
        with pytest.raises(Invalid):
            clinic.take(path, **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match="no file to import"):
        clinic.take(tmp_path / "empty")
    assert clinic.one("SELECT count(*) FROM import_jobs") == 0


def test_a_dry_run_keeps_nothing(write: Write, clinic: Clinic) -> None:
    path = write("b.ndjson", as_lines(whole_bundle()) + "{}\n")
    summary = clinic.take(path, dry_run=True)
    assert "\nChecked, kept nothing: 1 patients, 1 records, 0 allergies" in str(summary)
    assert (summary.of("patients", "created"), summary.of("records", "created"), summary.rejected) == (1, 1, 1)
    assert set(clinic.counts().values()) == {0}
    assert clinic.actions() == {}
    assert clinic.one("SELECT count(*) FROM import_jobs") == 0


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
        session.add(ImportFile(job_id=job.id, number=1, name=name, sha256=b"x", size=len(content), content=content))
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
    assert clinic.rows("SELECT DISTINCT state FROM import_jobs") == [("DONE",)]


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
    assert imports.run.run() == 2
    assert imports.run.run() == 0
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


def test_what_belongs_to_another_patient_here_is_refused(write: Write, clinic: Clinic) -> None:
    other = "99999999-9999-4999-8999-999999999999"
    clinic.take(write("b.json", json.dumps(bundle(patient(), encounter(), allergy()))))
    moved = [encounter(of=f"Patient/{other}"), allergy(of=f"Patient/{other}")]
    clinic.take(write("m.ndjson", as_lines(patient(other, name=[{"text": "Eva"}]), *moved)))
    assert clinic.reasons() == ["it belongs to another patient here"] * 2


def test_addenda_find_what_they_amend(write: Write, clinic: Clinic) -> None:
    header = "source,record_id,patient_id,start,title,kind,amends_source,amends_id\n"
    people = write("in/patients.csv", "source,patient_id,full_name\nerp,p1,Ana\nerp,p2,Eva\n")
    rows = [
        "erp,r1,p1,2020-01-01,Nota,EXAM,,",
        "erp,r2,p1,2020-01-02,Adendo,ADDENDUM,erp,r1",
        "erp,r3,p1,2020-01-03,Adendo,ADDENDUM,erp,unknown",
        "erp,r4,p2,2020-01-03,Adendo,ADDENDUM,erp,r1",
        "erp,r5,p1,2020-01-03,Adendo,ADDENDUM,erp,r2",
        "erp,r6,p1,2020-01-03,Adendo,ADDENDUM,,",
    ]
    write("in/records.csv", header + "\n".join(rows))
    clinic.take(people.parent)
    assert clinic.rows(
        "SELECT r.source_id, o.source_id FROM medical_records r JOIN medical_records o ON o.id = r.amends_id"
    ) == [("r2", "r1")]
    assert sorted(clinic.reasons()) == [
        "an addendum names the record it amends, and nothing else does",
        *["the record it amends is neither in this import nor in the database, or is another patient's"] * 3,
    ]
    later = write("late.csv", header + "erp,r7,p1,2020-01-04,Adendo,ADDENDUM,erp,r1\n")
    assert clinic.take(later).of("records", "created") == 1


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


def test_ids_stay_with_the_rows(write: Write, clinic: Clinic) -> None:
    clinic.take(write("b.json", json.dumps(whole_bundle())))
    assert clinic.rows("SELECT source, source_id FROM patients") == [("fhir", UUID_1)]
    assert clinic.rows("SELECT source, source_id FROM medical_records") == [("fhir", UUID_2)]
