"""Running an import: once, again, changed, killed, at the same time, cancelled, uploaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from config import Principal
from models import MedicalRecord
from models.user import IMPORT_USER_ID, Role
from services.errors import Invalid
from services.field_encryption import field_cipher
from services.field_key_change import change_field_key
from services.import_run import run_import
from tests.conftest import test_key as key_for
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

Write = Callable[..., Path]


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


def test_a_cpf_that_serves_as_an_id_is_recognised_while_keys_change(write: Write, clinic: Clinic) -> None:
    path = write("p.ndjson", as_lines(patient(VALID_CPF), encounter("e-1", f"Patient/{VALID_CPF}")))
    clinic.take(path)
    new, old = SecretStr(key_for("fields of next year")), clinic.settings.field_key
    between = clinic.settings.model_copy(update={"field_key": new, "field_key_previous": old})
    assert run_import(between, [path]).of("patients", "unchanged") == 1
    change_field_key(clinic.databases, field_cipher(between))
    assert clinic.counts()["patients"] == 1


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


def test_ids_stay_with_the_rows(write: Write, clinic: Clinic) -> None:
    clinic.take(write("b.json", json.dumps(whole_bundle())))
    assert clinic.rows("SELECT source, source_id FROM patients") == [("fhir", UUID_1)]
    assert clinic.rows("SELECT source, source_id FROM medical_records") == [("fhir", UUID_2)]
