"""Plain CSV: patients, records and allergies in files of their own, told apart by their columns.

Other systems need only a few columns; Sigilo's own exports have them all, with product and version in
``sigilo_export`` (cells are then escaped against formulas) and the names of masked fields in ``masked``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO

from config import PRODUCT_NAME
from models.patient import SEVERITIES, SEXES
from models.record import KINDS, PRIORITIES
from services.import_csv_rows import Row, first_placeholder, read_rows, unescaped
from services.import_entries import Entry, ImportedAllergy, ImportedPatient, ImportedRecord, Key, Place, Reject
from services.import_fhir import ReadingRules
from services.import_fhir_encounter import HAPPENED
from services.import_identifiers import read_document
from services.import_rules import (
    EntryRefused,
    check_life,
    checked_cid10,
    checked_key,
    kind_of,
    priority_of,
    required,
    within,
)
from services.import_times import END_OF_TIME, TimeRefused, check_period, read_birth_date, read_moment

NEEDED = {
    "patients": frozenset({"source", "patient_id", "full_name"}),
    "records": frozenset({"source", "record_id", "patient_id", "start", "title"}),
    "allergies": frozenset({"source", "allergy_id", "patient_id", "substance"}),
}
TRUTH = {"": None, "true": True, "false": False}


def table_of(header: list[str]) -> str | None:
    """Which of our tables has this header: ``patients``, ``records``, ``allergies``, or none."""
    return next((table for table in ("records", "allergies", "patients") if NEEDED[table] <= set(header)), None)


def read_csv(
    stream: IO[bytes], name: str, header: list[str], table: str, rules: ReadingRules
) -> Iterator[Entry | Reject]:
    """The rows of one of our tables. A bad row is refused by itself."""
    readers: dict[str, Callable[[Row, Place, ReadingRules], Entry]] = {
        "patients": _patient, "records": _record, "allergies": _allergy,
    }  # fmt: skip
    read = readers[table]
    for row in read_rows(stream, name, header):
        if isinstance(row, Reject):
            yield row
            continue
        try:
            yield read(_own(row), Place(name, row.line), rules)
        except EntryRefused as refused:
            yield Reject(name, row.line, refused.pointer, refused.reason)


def _own(row: Row) -> Row:
    if row.cells.get("masked"):
        raise EntryRefused("is a masked copy: somebody without access exported it, and parts are missing", "masked")
    if row.cells.get("sigilo_export", "").startswith(f"{PRODUCT_NAME} "):
        return Row(row.line, {column: unescaped(cell) for column, cell in row.cells.items()})
    if column := first_placeholder(row):
        raise EntryRefused("is a placeholder of a template, not data", column)
    return row


def _patient(row: Row, place: Place, rules: ReadingRules) -> ImportedPatient:
    cells = row.cells
    birth_date, is_estimated = None, False
    if cells.get("birth_date"):
        try:
            birth_date, is_estimated = read_birth_date(cells["birth_date"], now=rules.now)
        except TimeRefused as refused:
            raise EntryRefused(str(refused), "birth_date") from None
    deceased_at = _moment(cells, "deceased", rules)
    check_life(birth_date, deceased_at, "deceased")
    sex = (cells.get("gender") or "unknown").upper()
    sex = {"F": "FEMALE", "M": "MALE"}.get(sex, sex)
    if sex not in SEXES:
        raise EntryRefused("is none of male, female, other, unknown", "gender")
    address = ", ".join(part for column in ("address", "city", "state", "postal_code") if (part := cells.get(column)))
    return ImportedPatient(
        place=place,
        key=_key(cells, "source", "patient_id"),
        full_name=required("full_name", cells["full_name"], "full_name"),
        social_name=within("social_name", cells.get("social_name"), "social_name"),
        mother_name=within("mother_name", cells.get("mother_name"), "mother_name"),
        sex=sex,
        birth_date=birth_date,
        birth_date_estimated=_truth(cells, "birth_date_estimated") or is_estimated,
        cpf=_document(cells, "cpf"),
        cns=_document(cells, "cns"),
        passport=_document(cells, "passport"),
        nationality=within("nationality", cells.get("nationality"), "nationality"),
        phone=within("phone", cells.get("phone"), "phone"),
        email=within("email", cells.get("email"), "email"),
        address=within("address", address, "address"),
        deceased_at=deceased_at,
    )


def _record(row: Row, place: Place, rules: ReadingRules) -> ImportedRecord:
    cells = row.cells
    title = required("title", cells["title"], "title")
    diagnosis = within("diagnosis", cells.get("diagnosis"), "diagnosis")
    encounter_class = cells.get("encounter_class", "").upper()
    if cells.get("status") and cells["status"] not in HAPPENED:
        raise EntryRefused("did not take place, was entered in error, or is no status that is known", "status")
    kind = cells.get("kind") or kind_of(encounter_class, title)
    if kind not in KINDS:
        raise EntryRefused("is no kind of record", "kind")
    priority = cells.get("priority") or priority_of(encounter_class, title, diagnosis)
    if priority not in PRIORITIES:
        raise EntryRefused("is none of CRITICAL, HIGH, NORMAL, LOW", "priority")
    amends = _key(cells, "amends_source", "amends_id") if cells.get("amends_id") else None
    if (kind == "ADDENDUM") != (amends is not None):
        raise EntryRefused("an addendum names the record it amends, and nothing else does", "amends_id")
    codes = [code for code in cells.get("cid10_codes", "").split("|") if code]
    return ImportedRecord(
        place=place,
        key=_key(cells, "source", "record_id"),
        patient=_key(cells, "patient_source" if cells.get("patient_source") else "source", "patient_id"),
        occurred_at=_start(cells, rules),
        title=title,
        kind=kind,
        priority=priority,
        diagnosis=diagnosis,
        treatment=within("treatment", cells.get("treatment"), "treatment"),
        notes=within("notes", cells.get("notes"), "notes"),
        cid10_codes=checked_cid10(codes, "cid10_codes"),
        restricted=_truth(cells, "restricted"),
        amends=amends,
    )


def _allergy(row: Row, place: Place, rules: ReadingRules) -> ImportedAllergy:
    cells = row.cells
    severity = cells.get("severity") or None
    if severity not in (None, *SEVERITIES):
        raise EntryRefused("is none of MILD, MODERATE, SEVERE", "severity")
    return ImportedAllergy(
        place=place,
        key=_key(cells, "source", "allergy_id"),
        patient=_key(cells, "patient_source" if cells.get("patient_source") else "source", "patient_id"),
        substance=required("substance", cells["substance"], "substance"),
        reaction=within("reaction", cells.get("reaction"), "reaction"),
        severity=severity,
        noted_at=_moment(cells, "noted_at", rules),
    )


def _key(cells: dict[str, str], source: str, identifier: str) -> Key:
    return Key(checked_key(cells.get(source), source), checked_key(cells.get(identifier), identifier))


def _document(cells: dict[str, str], kind: str) -> str | None:
    return read_document(kind, cells[kind], kind) if cells.get(kind) else None


def _truth(cells: dict[str, str], column: str) -> bool | None:
    value = cells.get(column, "").lower()
    if value not in TRUTH:
        raise EntryRefused("is neither true nor false", column)
    return TRUTH[value]


def _moment(cells: dict[str, str], column: str, rules: ReadingRules) -> datetime | None:
    if not cells.get(column):
        return None
    try:
        return read_moment(cells[column], rules.zone, now=rules.now).at
    except TimeRefused as refused:
        raise EntryRefused(str(refused), column) from None


def _start(cells: dict[str, str], rules: ReadingRules) -> datetime:
    column = "start"
    try:
        start = read_moment(cells["start"], rules.zone, now=rules.now)
        if cells.get("end"):
            column = "end"
            check_period(start, read_moment(cells["end"], rules.zone, now=END_OF_TIME))
    except TimeRefused as refused:
        raise EntryRefused(str(refused), column) from None
    return start.at
