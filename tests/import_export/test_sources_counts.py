"""Every source of the real-format data, into an empty database: the counts its README states, once and again."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.import_export.conftest import Clinic

pytestmark = pytest.mark.unmeasured  # ten thousand rows take the same way as ten

# path → patients, records, allergies, refusals (of synthea-bulk the file of notes, which is no FHIR)
COUNTS = {
    "mapped": (116, 3_611, 0, 0),
    "synthea-smart-r4/full-bundles": (4, 53, 0, 0),
    "synthea-smart-r4": (110, 3_363, 38, 0),  # of the full bundles' 4 patients nothing is new
    "synthea-bulk": (500, 248, 3, 1),
    "synthea-csv": (14, 333, 19, 0),
    "hl7-r4-examples": (1, 0, 1, 4),
    "rnds": (0, 0, 0, 5),
}


@pytest.mark.parametrize("source", COUNTS)
def test_counts_of_each_source(shared_data: Path, clinic: Clinic, source: str) -> None:
    patients, records, allergies, rejects = COUNTS[source]
    summary = clinic.take(shared_data / source)
    counts = clinic.counts()
    assert (counts["patients"], counts["medical_records"], counts["allergies"]) == (patients, records, allergies)
    assert (counts["patient_versions"], counts["record_versions"]) == (patients, records)
    assert summary.rejected == counts["import_rejects"] == rejects
    actions = {"patient.create": patients, "medical_record.create": records, "allergy.create": allergies}
    events = {"import.start": 1, "import.finish": 1} | {name: count for name, count in actions.items() if count}
    assert clinic.actions() == events

    before = clinic.content()
    again = clinic.take(shared_data / source)
    assert again.of("patients", "unchanged") == patients
    assert again.of("records", "unchanged") == records
    assert again.of("allergies", "unchanged") == allergies
    assert sum(again.of(kind, "created") for kind in ("patients", "records", "allergies")) == 0
    assert clinic.content() == before
    assert clinic.counts() | {"import_rejects": 0} == counts | {"import_rejects": 0}


def test_fhir_gives_what_the_mapping_precomputed(shared_data: Path, clinic: Clinic) -> None:
    """``mapped/`` was made from the same bundles by somebody else's code: both must say the same."""
    clinic.take(shared_data / "synthea-smart-r4", shared_data / "synthea-bulk")
    records = {
        row[0]: row[1:]
        for row in clinic.rows(
            "SELECT source_id, title, diagnosis, treatment, priority, occurred_at FROM medical_records"
        )
    }
    patients = {
        row[0]: row[1:] for row in clinic.rows("SELECT source_id, full_name, birth_date::text, phone FROM patients")
    }
    with (shared_data / "mapped" / "records.csv").open(newline="", encoding="utf-8") as file:
        expected = list(csv.DictReader(file))
    assert len(expected) == len(records) == 3_611
    for row in expected:
        title, diagnosis, treatment, priority, occurred_at = records[row["record_id"]]
        assert (title, diagnosis or "", treatment or "", priority) == (
            row["title"], row["diagnosis"], row["treatment"], row["priority"],
        )  # fmt: skip
        assert occurred_at.isoformat() == clinic.one("SELECT %(at)s::timestamptz", at=row["start"]).isoformat()
    with (shared_data / "mapped" / "patients.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert patients[row["patient_id"]] == (row["full_name"], row["birth_date"], row["phone"])


def test_every_imported_record_is_closed_and_by_the_system(shared_data: Path, clinic: Clinic) -> None:
    clinic.take(shared_data / "synthea-csv")
    assert clinic.one("SELECT count(*) FROM medical_records WHERE closes_at > now()") == 0
    assert clinic.rows("SELECT DISTINCT u.email FROM medical_records r JOIN users u ON u.id = r.author_id") == [
        ("import@sigilo.invalid",)
    ]


def test_security_23_no_document_in_the_clear(shared_data: Path, clinic: Clinic) -> None:
    """Passports of the source, in any column of any row that the import wrote."""
    clinic.take(shared_data / "synthea-csv")
    with (shared_data / "synthea-csv" / "patients.csv").open(newline="", encoding="utf-8") as file:
        passports = [row["PASSPORT"] for row in csv.DictReader(file) if row["PASSPORT"]]
    assert passports
    for table in ("patients", "patient_versions", "audit_outbox", "import_jobs", "import_rejects"):
        text = "".join(row for (row,) in clinic.rows(f"SELECT t::text FROM {table} t"))
        assert not [passport for passport in passports if passport in text], table
