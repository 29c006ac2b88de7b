"""Synthea's own CSV layout: patients, encounters, conditions, medications and allergies, a file each.

Its rows have no kind, priority or allergy id; the rules for FHIR apply, so that a person reads the same
whichever format they came in. https://github.com/synthetichealth/synthea/wiki/CSV-File-Data-Dictionary
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import IO

from models.patient import SEVERITIES
from services.import_csv_rows import Row, first_placeholder, read_rows
from services.import_entries import (
    Entry,
    Finding,
    Ignored,
    ImportedAllergy,
    ImportedEncounter,
    ImportedPatient,
    Key,
    Place,
    Reject,
)
from services.import_fhir import ReadingRules
from services.import_identifiers import read_document
from services.import_rules import EntryRefused, check_life, checked_key, joined, required, within
from services.import_times import END_OF_TIME, TimeRefused, check_period, read_birth_date, read_moment

SOURCE = "synthea-csv"
NEEDED = {
    "patients": frozenset({"Id", "BIRTHDATE", "FIRST", "LAST", "GENDER"}),
    "encounters": frozenset({"Id", "START", "STOP", "PATIENT", "ENCOUNTERCLASS", "DESCRIPTION"}),
    "medications": frozenset({"START", "PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION", "DISPENSES"}),
    "allergies": frozenset({"START", "PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION"}),
    "conditions": frozenset({"START", "PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION"}),
}
# Synthea's classes in HL7's terms, as its own FHIR exporter gives them; all others are ambulatory.
CLASSES = {
    "emergency": "EMER", "inpatient": "IMP", "snf": "IMP", "home": "HH", "hospice": "HH", "virtual": "VR",
}  # fmt: skip
OTHER_TABLES = frozenset(
    {
        "careplans", "claims", "claims_transactions", "devices", "imaging_studies", "immunizations", "observations",
        "organizations", "payer_transitions", "payers", "procedures", "providers", "supplies",
    }
)  # fmt: skip
SEXES = {"F": "FEMALE", "M": "MALE", "": "UNKNOWN"}


def table_of(header: list[str], name: str) -> str | None:
    """Which Synthea table this is. Old allergies and conditions have one header, so the name decides there."""
    columns = set(header)
    stem = PurePath(name).name.split(".")[0].lower()
    is_theirs = all(column == "Id" or column.isupper() for column in columns)
    if not is_theirs or not {"PATIENT", "BIRTHDATE", "ADDRESS"} & columns:
        return None
    if stem in OTHER_TABLES:
        return stem
    if stem in NEEDED and NEEDED[stem] <= columns:
        return stem
    if "REACTION1" in columns:
        return "allergies"
    if columns == {"START", "STOP", "PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION"}:
        return "conditions"
    return next((table for table in ("patients", "encounters", "medications") if NEEDED[table] <= columns), None)


def read_synthea_csv(
    stream: IO[bytes], name: str, header: list[str], table: str, rules: ReadingRules
) -> Iterator[Entry | Reject | Ignored]:
    """The rows of one Synthea table. A bad row is refused by itself; a table Sigilo has no place for is counted."""
    readers: dict[str, Callable[[Row, Place, ReadingRules], Entry]] = {
        "patients": _patient, "encounters": _encounter, "conditions": _condition,
        "medications": _medication, "allergies": _allergy,
    }  # fmt: skip
    read = readers.get(table)
    for row in read_rows(stream, name, header):
        if isinstance(row, Reject):
            yield row
        elif read is None:
            yield Ignored(table)
        else:
            try:
                if gap := first_placeholder(row):
                    raise EntryRefused("is a placeholder of a template, not data", gap)
                yield read(row, Place(name, row.line), rules)
            except EntryRefused as refused:
                yield Reject(name, row.line, refused.pointer, refused.reason)


def _patient(row: Row, place: Place, rules: ReadingRules) -> ImportedPatient:
    cells = row.cells
    column = "BIRTHDATE"
    try:
        birth_date, is_estimated = read_birth_date(cells[column], now=rules.now)
        column = "DEATHDATE"
        died = read_moment(cells[column], rules.zone, now=rules.now).at if cells.get(column) else None
    except TimeRefused as refused:
        raise EntryRefused(str(refused), column) from None
    check_life(birth_date, died, "DEATHDATE")
    if cells["GENDER"] not in SEXES:
        raise EntryRefused("is neither M nor F", "GENDER")
    names = " ".join(filter(None, (cells.get(name, "").strip() for name in ("FIRST", "MIDDLE", "LAST"))))
    address = ", ".join(filter(None, (cells.get(name) for name in ("ADDRESS", "CITY", "STATE", "ZIP"))))
    return ImportedPatient(
        place=place,
        key=_key(cells, "Id"),
        full_name=required("full_name", names, "LAST"),
        sex=SEXES[cells["GENDER"]],
        birth_date=birth_date,
        birth_date_estimated=is_estimated,
        passport=read_document("passport", cells["PASSPORT"], "PASSPORT") if cells.get("PASSPORT") else None,
        address=within("address", address, "ADDRESS"),
        deceased_at=died,
    )


def _encounter(row: Row, place: Place, rules: ReadingRules) -> ImportedEncounter:
    cells = row.cells
    column = "START"
    try:
        start = read_moment(cells["START"], rules.zone, now=rules.now)
        if cells["STOP"]:
            column = "STOP"
            check_period(start, read_moment(cells["STOP"], rules.zone, now=END_OF_TIME))
    except TimeRefused as refused:
        raise EntryRefused(str(refused), column) from None
    return ImportedEncounter(
        place=place,
        key=_key(cells, "Id"),
        patient=_key(cells, "PATIENT"),
        occurred_at=start.at,
        title=required("title", cells["DESCRIPTION"], "DESCRIPTION"),
        encounter_class=CLASSES.get(cells["ENCOUNTERCLASS"].lower(), "AMB"),
        reason=cells.get("REASONDESCRIPTION") or None,
    )


def _condition(row: Row, place: Place, _: ReadingRules) -> Finding:
    return _finding(row, place, is_diagnosis=True)


def _medication(row: Row, place: Place, _: ReadingRules) -> Finding:
    return _finding(row, place, is_diagnosis=False)


def _finding(row: Row, place: Place, *, is_diagnosis: bool) -> Finding:
    cells = row.cells
    words = required("diagnosis" if is_diagnosis else "treatment", cells["DESCRIPTION"], "DESCRIPTION")
    encounter = _key(cells, "ENCOUNTER")
    # The layout gives these rows no id; the same code on the same encounter at the same time is the same row.
    name = ":".join(("D" if is_diagnosis else "T", encounter.id, cells["CODE"], cells["START"], cells.get("STOP", "")))
    key = Key(SOURCE, checked_key(name, "CODE"))
    return Finding(place, key, encounter, _key(cells, "PATIENT"), is_diagnosis, words)


def _allergy(row: Row, place: Place, rules: ReadingRules) -> ImportedAllergy:
    cells = row.cells
    patient = _key(cells, "PATIENT")
    try:
        noted_at = read_moment(cells["START"], rules.zone, now=rules.now).at
    except TimeRefused as refused:
        raise EntryRefused(str(refused), "START") from None
    grades = [cells.get(f"SEVERITY{number}", "") for number in (1, 2)]
    return ImportedAllergy(
        place=place,
        # The layout gives allergies no id: one substance is noted once a patient and day.
        key=Key(SOURCE, checked_key(f"{patient.id}:{cells['CODE']}:{cells['START']}", "CODE")),
        patient=patient,
        substance=required("substance", cells["DESCRIPTION"], "DESCRIPTION"),
        reaction=within("reaction", joined([cells.get(f"DESCRIPTION{number}", "") for number in (1, 2)])),
        severity=max((grade for grade in grades if grade in SEVERITIES), key=SEVERITIES.index, default=None),
        noted_at=noted_at,
    )


def _key(cells: dict[str, str], column: str) -> Key:
    return Key(SOURCE, checked_key(cells[column], column))
