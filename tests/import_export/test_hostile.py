"""Hostile files through the whole importer: a clear refusal each, nothing half-written, never a crash."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.import_entries import ImportedPatient
from tests.import_export.conftest import Clinic, read
from tests.import_export.fhir_samples import UUID_1, UUID_2, as_lines, bundle, condition, encounter, patient

Write = Callable[..., Path]
# What Sigilo takes of the FHIR test cases: two of them are patients with a name and an id of their own.
TAKEN = {"pat-security-bad-string.json", "pat-security-good1.json", "patient-example-ra4.json"}
# Refused, though each is valid FHIR by itself, or has faults that Sigilo has no eye for.
REASONS = {
    "bundle-bad-empty.json": "must be a URL",
    "encounter-period.json": "starts on a date without a time and ends at a time of that date: order unknown",
    "patient-id-bad-1.json": "is no FHIR id: 1 to 64 letters, digits, hyphens and dots",
    "patient-good.json": "full_name is missing",
    "pat-example-ext.json": "has no id, so a second import could not recognise it",
    "us-cond.json": "belongs to no encounter, so to no record",
    "unicode-problem.json": "nothing to import: it holds Parameters",
    "list-xhtml-element.json": "nothing to import: it holds List",
}


def test_security_28_fhir_test_cases(shared_data: Path) -> None:
    hostile = shared_data / "hostile"
    with (hostile / "fhir-test-cases.expected.csv").open(newline="", encoding="utf-8") as file:
        expected = {row["file"]: row for row in csv.DictReader(file)}
    assert len(expected) == 28
    for name, row in expected.items():
        found = read(hostile / "fhir-test-cases" / name)
        if name in TAKEN:
            assert len(found.of(ImportedPatient)) == 1, name
            assert found.rejects == []
            continue
        assert found.entries == [], name
        (reject,) = found.rejects
        if row["python_json_parses"] == "no":
            assert reject.reason.startswith("not well-formed JSON: "), name
            assert reject.line > 1
        else:
            assert not reject.reason.startswith("not well-formed"), name
        assert reject.reason == REASONS.get(name, reject.reason)
    assert sum(row["python_json_parses"] == "no" for row in expected.values()) == 5


def test_security_28_everything_hostile_at_once(shared_data: Path, clinic: Clinic) -> None:
    began = time.monotonic()
    summary = clinic.take(shared_data / "hostile")
    assert time.monotonic() - began < 60
    # pat-security-good1 has the id of pat-security-bad-string, and other content.
    assert summary.of("patients", "created") == 2
    assert summary.rejected == clinic.counts()["import_rejects"]
    refused = {name for (name,) in clinic.rows("SELECT DISTINCT file FROM import_rejects")}
    files = {str(path.relative_to(shared_data / "hostile")) for path in (shared_data / "hostile").rglob("*.*")}
    assert len(files) == 28 + 147 + 2
    assert files - refused == {
        "fhir-test-cases/pat-security-bad-string.json",
        "fhir-test-cases/patient-example-ra4.json",
    }
    assert clinic.one("SELECT state FROM import_jobs") == "DONE"
    names = {name for (name,) in clinic.rows("SELECT full_name FROM patients")}
    assert names == {"Standard <script>somescript</script>", "Daniel X. Adams"}


def test_security_28_naughty_strings_round_trip(shared_data: Path, clinic: Clinic, write: Write) -> None:
    """Each string as a name, a title and a diagnosis: stored unchanged, or refused with a reason."""
    strings = json.loads((shared_data / "hostile" / "naughty-strings.json").read_bytes())
    bundles = []
    for number, text in enumerate(strings):
        person, visit, cause = (f"{number:08x}-0000-4000-8000-00000000000{kind}" for kind in range(3))
        bundles.append(
            bundle(
                patient(person, name=[{"text": f"Ana {text}"}]),
                encounter(visit, f"urn:uuid:{person}", type=[{"text": f"T {text}"}]),
                condition(cause, f"urn:uuid:{person}", f"urn:uuid:{visit}", code={"text": f"D {text}"}),
            )
        )
    clinic.take(write("naughty.ndjson", as_lines(*bundles)))
    stored = {
        (source_id, name, title, diagnosis)
        for source_id, name, title, diagnosis in clinic.rows(
            "SELECT p.source_id, p.full_name, r.title, r.diagnosis FROM patients p "
            "JOIN medical_records r ON r.patient_id = p.id"
        )
    }
    for number, text in enumerate(strings):
        person = f"{number:08x}-0000-4000-8000-000000000000"
        if len(text) <= 196:
            assert (person, f"Ana {text}", f"T {text}", f"D {text}") in stored, number
    too_long = sum(len(text) > 196 for text in strings)
    assert len(stored) == len(strings) - too_long
    assert all("longer than 200" in reason or "its " in reason for reason in clinic.reasons())


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        [],
        {},
        [[]],
        {"a": {}},
        "x" * 70_000,
        "\u202e",
        ["x"] * 1000,
        {"resourceType": "Patient"},
    ],
)
@pytest.mark.parametrize(
    "path",
    ["id", "name", "identifier", "birthDate", "gender", "telecom", "address", "extension", "meta", "text", "contained"],
)
def test_any_type_anywhere_is_taken_or_refused(write: Write, path: str, value: object) -> None:
    found = read(write("p.json", json.dumps(patient() | {path: value})))
    assert len(found.entries) + len(found.rejects) == 1


@pytest.mark.parametrize("value", [None, 0, "", [], {}, [[]], "x", {"reference": None}, {"reference": []}, [None]])
@pytest.mark.parametrize(
    "path", ["status", "class", "type", "subject", "period", "reasonCode", "extension", "meta", "fhir_comments"]
)
def test_any_type_anywhere_in_an_encounter(write: Write, path: str, value: object) -> None:
    found = read(write("e.json", json.dumps(encounter() | {path: value})))
    assert len(found.entries) + len(found.rejects) == 1


def test_what_the_database_refuses_takes_one_patient_and_no_other(write: Write, clinic: Clinic) -> None:
    """A rule that only the database knows must not stop the import, nor leave half a patient."""
    clinic_rule = "ALTER TABLE medical_records ADD CONSTRAINT no_zebras CHECK (title <> 'zebra')"
    with clinic.databases.session("migrator") as session:
        session.connection().exec_driver_sql(clinic_rule)
    other, visit = "55555555-5555-4555-8555-555555555555", "66666666-6666-4666-8666-666666666666"
    path = write(
        "b.ndjson",
        as_lines(
            bundle(patient(), encounter(type=[{"text": "zebra"}])),
            bundle(patient(other, name=[{"text": "Eva"}]), encounter(visit, f"urn:uuid:{other}")),
        ),
    )
    summary = clinic.take(path)
    assert (summary.of("patients", "created"), summary.of("records", "created"), summary.rejected) == (1, 1, 2)
    assert set(clinic.reasons()) == {"the database refused this patient's entries, all together (no_zebras)"}
    assert clinic.one("SELECT count(*) FROM patients WHERE source_id = %(id)s", id=UUID_1) == 0
    assert clinic.one("SELECT count(*) FROM medical_records WHERE source_id = %(id)s", id=UUID_2) == 0
    assert clinic.actions() == {"import.start": 1, "patient.create": 1, "medical_record.create": 1, "import.finish": 1}
