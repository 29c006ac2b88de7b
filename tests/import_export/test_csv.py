"""CSV, plain and Synthea's: which table it is, strict rows, and the same rules as for FHIR."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from services.import_csv_rows import escaped, read_header, unescaped
from services.import_entries import Finding, ImportedAllergy, ImportedEncounter, ImportedPatient, ImportedRecord, Key
from tests.import_export.conftest import read
from tests.import_export.fhir_samples import VALID_CNS, VALID_CPF

Write = Callable[..., Path]
PATIENTS = "source,patient_id,full_name,birth_date,gender\n"
RECORDS = "source,record_id,patient_id,start,end,encounter_class,title,diagnosis,priority,status\n"


def test_patients(write: Write) -> None:
    text = (
        "source,patient_id,full_name,birth_date,gender,phone,address,city,state,postal_code,deceased,cpf,cns\r\n"
        'erp,1,"Silva, Ana",1980-02-29,female,555,"Rua A, 1",Recife,PE,50000,2001-02-03,529.982.247-25,'
        f"{VALID_CNS}\r\n"
        "erp,2,José,1975,M,,,,,,,,\r\n"
    )
    first, second = read(write("x.csv", "\ufeff" + text)).of(ImportedPatient)
    assert (first.key, first.full_name, first.sex) == (Key("erp", "1"), "Silva, Ana", "FEMALE")
    assert (first.birth_date, first.phone) == (date(1980, 2, 29), "555")
    assert first.address == "Rua A, 1, Recife, PE, 50000"
    assert (first.cpf, first.cns) == (VALID_CPF, VALID_CNS)
    assert first.deceased_at == datetime(2001, 2, 3, 2, tzinfo=UTC)
    assert (second.sex, second.birth_date, second.birth_date_estimated) == ("MALE", date(1975, 1, 1), True)
    assert (first.place.line, second.place.line) == (2, 3)


def test_records(write: Write) -> None:
    text = RECORDS + 'erp,r1,1,2020-01-01T10:00:00Z,,EMER,"Dor\ntorácica",Infarto,,finished\n'
    (record,) = read(write("x.csv", text)).of(ImportedRecord)
    assert (record.patient, record.title) == (Key("erp", "1"), "Dor\ntorácica")
    assert (record.kind, record.priority, record.diagnosis) == ("EMERGENCY", "CRITICAL", "Infarto")


@pytest.mark.parametrize(
    ("text", "line", "pointer", "reason"),
    [
        (PATIENTS + "erp,1,,1980-01-01,F\n", 2, "full_name", "full_name is missing"),
        (PATIENTS + ",1,Ana,1980-01-01,F\n", 2, "source", "is no usable id: 1 to 200 printable characters"),
        (PATIENTS + "erp,,Ana,1980-01-01,F\n", 2, "patient_id", "is no usable id: 1 to 200 printable characters"),
        (PATIENTS + "erp,1,Ana,1980-02-30,F\n", 2, "birth_date", "is no date that exists"),
        (PATIENTS + "erp,1,Ana,1980-02-28,X\n", 2, "gender", "is none of male, female, other, unknown"),
        (PATIENTS + "erp,1,{{nome}},1980-02-28,F\n", 2, "full_name", "is a placeholder of a template, not data"),
        (PATIENTS + "erp,1,Ana\n", 2, "", "has 3 cells where the header names 5 columns"),
        (PATIENTS + "erp,1,A\0na,,\n", 2, "", "column full_name is not valid UTF-8, or has a NUL character"),
        (PATIENTS + 'erp,1,"Ana"x,,\n', 2, "", "the quoting is not that of CSV; lines 2 to 2 were not taken"),
        (PATIENTS + 'erp,1,"Ana,,\nerp,2,B,,\n', 2, "",
         "a quoted cell is never closed, or is longer than 131,072 characters; lines 2 to 3 were not taken"),
        (RECORDS + "erp,r,1,2020-01-02,2020-01-01,AMB,T,,,\n", 2, "end", "ends before it starts"),
        (RECORDS + "erp,r,1,,,AMB,T,,,\n", 2, "start", "is no date or time"),
        (RECORDS + "erp,r,1,2020-01-02,,AMB,T,,URGENT,\n", 2, "priority", "is none of CRITICAL, HIGH, NORMAL, LOW"),
        (RECORDS + "erp,r,1,2020-01-02,,AMB,T,,,planned\n", 2, "status",
         "did not take place, was entered in error, or is no status that is known"),
        (RECORDS + "erp,r,1,2020-01-02,,AMB,T," + "x" * 20_001 + ",,\n", 2, "diagnosis",
         "diagnosis is longer than 20000 characters"),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_with_its_line(write: Write, text: str, line: int, pointer: str, reason: str) -> None:
    found = read(write("x.csv", text))
    assert found.entries == []
    assert [(reject.line, reject.pointer, reject.reason) for reject in found.rejects] == [(line, pointer, reason)]


def test_rows_behind_a_bad_one_are_read(write: Write) -> None:
    text = PATIENTS.encode() + b"erp,1,Jos\xe9,,\n\nerp,2,Ana,,\n" + b"erp,3,,,\n" + b"erp,4,Eva,,\n"
    found = read(write("x.csv", text))
    assert [entry.key.id for entry in found.entries] == ["2", "4"]
    assert [reject.line for reject in found.rejects] == [2, 5]


def test_an_invalid_cpf_is_never_repeated(write: Write) -> None:
    found = read(write("x.csv", "source,patient_id,full_name,cpf\nerp,1,Ana,12345678910\n"))
    assert found.reason == "the CPF is not valid: its check digits do not fit"


@pytest.mark.parametrize(
    "header", [b"a,a\n", b"one\n", b"\xff,b\n", b'"a,b\n', b"a,\n", b",".join(b"c%d" % n for n in range(300))]
)
def test_what_is_no_header(header: bytes) -> None:
    assert read_header(header) == []


@pytest.mark.parametrize("cell", ["=1+1", "+55 11", "-5", "@x", "\tx", "\rx", "'quoted", "plain", "", "a=b"])
def test_formulas_are_escaped_and_come_back(cell: str) -> None:
    assert not escaped(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unescaped(escaped(cell)) == cell


SYNTHEA = {
    "patients.csv": "Id,BIRTHDATE,DEATHDATE,SSN,PASSPORT,FIRST,LAST,GENDER,ADDRESS,CITY,STATE,ZIP\n"
    "p1,1990-01-02,2020-05-06,999-11-1111,X79835501X,Ana12,Souza34,F,Rua A,Recife,PE,\n",
    "encounters.csv": "Id,START,STOP,PATIENT,ENCOUNTERCLASS,CODE,DESCRIPTION,REASONCODE,REASONDESCRIPTION\n"
    "e1,2019-01-01T10:00:00Z,2019-01-01T10:15:00Z,p1,emergency,1,Emergency Encounter,2,Asthma\n"
    "e2,2019-01-02T10:00:00Z,2019-01-01T10:15:00Z,p1,wellness,1,Well child visit,,\n",
    "conditions.csv": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2019-01-01,,p1,e1,195967001,Asthma (disorder)\n",
    "medications.csv": "START,STOP,PATIENT,PAYER,ENCOUNTER,CODE,DESCRIPTION,DISPENSES\n"
    "2019-01-01T10:00:00Z,,p1,x,e1,895994,Fluticasone,6\n",
    "allergies.csv": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2019-01-01,,p1,e1,111088007,Latex (substance)\n",
    "observations.csv": "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,VALUE\n2019-01-01,p1,e1,1,Height,170\n",
}


def test_synthea_tables(write: Write) -> None:
    for name, text in SYNTHEA.items():
        folder = write(f"synthea/{name}", text).parent
    found = read(folder)
    (person,) = found.of(ImportedPatient)
    assert (person.full_name, person.sex, person.address) == ("Ana12 Souza34", "FEMALE", "Rua A, Recife, PE")
    assert person.passport == "X79835501X"
    (visited,) = found.of(ImportedEncounter)
    assert (visited.encounter_class, visited.reason, visited.key) == ("EMER", "Asthma", Key("synthea-csv", "e1"))
    assert [(finding.is_diagnosis, finding.text) for finding in found.of(Finding)] == [
        (True, "Asthma (disorder)"),
        (False, "Fluticasone"),
    ]
    (latex,) = found.of(ImportedAllergy)
    assert (latex.substance, latex.key.id) == ("Latex (substance)", "p1:111088007:2019-01-01")
    assert found.ignored == ["observations"]
    assert [(reject.file, reject.line, reject.pointer, reject.reason) for reject in found.rejects] == [
        ("encounters.csv", 3, "STOP", "ends before it starts"),
        ("observations.csv", 1, "", "nothing to import: it holds observations"),
    ]


@pytest.mark.parametrize(
    ("name", "old", "new", "pointer", "reason"),
    [
        ("patients.csv", "1990-01-02", "1990-13-02", "BIRTHDATE", "is no date that exists"),
        ("patients.csv", "2020-05-06", "1980-05-06", "DEATHDATE", "is before the birth date"),
        ("patients.csv", ",F,", ",X,", "GENDER", "is neither M nor F"),
        ("patients.csv", "X79835501X", "?", "PASSPORT", "is no passport number: 5 to 20 letters and digits"),
        ("patients.csv", "Souza34", "{{nome}}", "LAST", "is a placeholder of a template, not data"),
        ("conditions.csv", "Asthma (disorder)", "", "DESCRIPTION", "diagnosis is missing"),
        ("allergies.csv", "2019-01-01", "yesterday", "START", "is no date or time"),
        ("medications.csv", ",p1,", ",,", "PATIENT", "is no usable id: 1 to 200 printable characters"),
    ],
)
def test_synthea_refusals(write: Write, name: str, old: str, new: str, pointer: str, reason: str) -> None:
    found = read(write(name, SYNTHEA[name].replace(old, new)))
    assert found.entries == []
    assert [(reject.line, reject.pointer, reject.reason) for reject in found.rejects] == [(2, pointer, reason)]
