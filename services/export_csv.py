"""An export as CSV: the columns that the importer reads, cells escaped against formulas (OWASP)."""

from __future__ import annotations

import csv
import io
from typing import Any, BinaryIO

from config import PRODUCT_NAME, PRODUCT_VERSION
from services.export_read import Exported, ExportedPatient
from services.import_csv_rows import escaped

FILES = ("patients.csv", "allergies.csv", "records.csv")
# Tells the importer whose file this is, and people which version wrote it (SBIS NGS1.01.01).
MARK = f"{PRODUCT_NAME} {PRODUCT_VERSION}"

# Column → API name. Columns that are not here are filled below.
PATIENT = {
    "full_name": "fullName", "social_name": "socialName", "mother_name": "motherName", "birth_date": "birthDate",
    "birth_date_estimated": "birthDateEstimated", "gender": "sex", "cpf": "cpf", "cns": "cns", "passport": "passport",
    "nationality": "nationality", "phone": "phone", "email": "email", "address": "address", "deceased": "deceasedAt",
}  # fmt: skip
ALLERGY = {"substance": "substance", "reaction": "reaction", "severity": "severity", "noted_at": "notedAt"}
RECORD = {
    "start": "occurredAt", "title": "title", "diagnosis": "diagnosis", "treatment": "treatment", "notes": "notes",
    "cid10_codes": "cid10Codes", "priority": "priority", "kind": "kind", "restricted": "restricted", "author": "author",
}  # fmt: skip
LAST = ("masked", "sigilo_export")


class CsvExport:
    """Writes patients, allergies and records into three files, given open in the order of ``FILES``."""

    def __init__(self, files: list[BinaryIO]) -> None:
        self._patients, self._allergies, self._records = files
        _write(self._patients, [("source", "patient_id", *PATIENT, *LAST)])
        _write(self._allergies, [("source", "allergy_id", "patient_source", "patient_id", *ALLERGY, *LAST)])
        _write(
            self._records,
            [("source", "record_id", "patient_source", "patient_id", *RECORD, "amends_source", "amends_id", *LAST)],
        )

    def patient(self, exported: ExportedPatient) -> None:
        """Write a patient and their allergies."""
        patient = exported.patient
        _write(self._patients, [(*patient.key, *_cells(patient, PATIENT), *_last(patient))])
        _write(
            self._allergies,
            [
                (*allergy.key, *patient.key, *_cells(allergy, ALLERGY), *_last(allergy))
                for allergy in exported.allergies
            ],
        )

    def records(self, exported: ExportedPatient, records: list[Exported]) -> None:
        """Write some of a patient's records."""
        rows = []
        for record in records:
            amends = record.values.get("amends") or ("", "")
            rows.append((*record.key, *exported.patient.key, *_cells(record, RECORD), *amends, *_last(record)))
        _write(self._records, rows)

    def end_patient(self, exported: ExportedPatient) -> None:
        """Nothing is kept back until here."""


def _cells(exported: Exported, columns: dict[str, str]) -> list[str]:
    return [_text(exported.values.get(name)) for name in columns.values()]


def _last(exported: Exported) -> tuple[str, str]:
    return "|".join(exported.masked), MARK


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "|".join(value) if isinstance(value, list) else str(value)


def _write(file: BinaryIO, rows: list[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([[escaped(cell) for cell in row] for row in rows])
    file.write(text.getvalue().encode())
