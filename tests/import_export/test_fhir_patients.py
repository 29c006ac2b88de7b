"""Patients and allergies from FHIR: names, documents, dates, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from services.import_entries import ImportedAllergy, ImportedPatient, Key
from tests.import_export.conftest import read
from tests.import_export.fhir_samples import (
    RNDS_CNS,
    RNDS_CPF,
    UUID_1,
    VALID_CNS,
    VALID_CPF,
    allergy,
    as_lines,
    bundle,
    patient,
)

Write = Callable[..., Path]
BR_TYPES = "http://www.saude.gov.br/fhir/r4/ValueSet/BRTipoDocumentoIndividuo-1.0"
UNKNOWN_MEANING = "changes the meaning of the resource in a way that is unknown here"
HL7_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


@pytest.fixture
def taken(write: Write) -> Callable[..., ImportedPatient]:
    def take(**elements: Any) -> ImportedPatient:
        found = read(write("p.json", json.dumps(patient(**elements))))
        assert found.rejects == []
        (entry,) = found.entries
        assert isinstance(entry, ImportedPatient)
        return entry

    return take


@pytest.fixture
def refused(write: Write) -> Callable[..., tuple[str, str]]:
    def refuse(resource: dict[str, Any]) -> tuple[str, str]:
        found = read(write("p.json", json.dumps(resource)))
        assert found.entries == []
        (reject,) = found.rejects
        return reject.pointer, reject.reason

    return refuse


def test_a_patient_as_the_mapping_says(taken: Callable[..., ImportedPatient]) -> None:
    entry = taken(
        telecom=[
            {"use": "home"},
            {"system": "phone", "value": "11 5555-0101"},
            {"system": "email", "value": "a@b.org"},
        ],
        address=[{"line": ["Rua A, 1", "casa 2"], "city": "São Paulo", "state": "SP", "postalCode": "01000-000"}],
        deceasedDateTime="2006-07-21T02:28:09+00:00",
    )
    assert entry.key == Key("fhir", UUID_1)
    assert entry.full_name == "Conceição Maria Ávila"
    assert (entry.sex, entry.birth_date, entry.birth_date_estimated) == ("FEMALE", date(1980, 2, 29), False)
    assert (entry.phone, entry.email) == ("11 5555-0101", "a@b.org")
    assert entry.address == "Rua A, 1, casa 2, São Paulo, SP, 01000-000"
    assert entry.deceased_at == datetime(2006, 7, 21, 2, 28, 9, tzinfo=UTC)
    assert entry.place[1:] == (1, "")


def test_names(taken: Callable[..., ImportedPatient]) -> None:
    maiden = {"use": "maiden", "family": "Solteira", "given": ["Ana"]}
    assert taken(name=[maiden, {"use": "official", "family": "Casada", "given": ["Ana"]}]).full_name == "Ana Casada"
    assert taken(name=[{"text": "Nome <script>alert(1)</script>"}]).full_name == "Nome <script>alert(1)</script>"
    nickname = [{"use": "official", "text": "Peter"}, {"use": "usual", "text": "Jim"}]
    assert taken(name=nickname).social_name is None
    brazilian = {"profile": ["http://www.saude.gov.br/fhir/r4/StructureDefinition/BRIndividuo-1.0"]}
    assert taken(name=nickname, meta=brazilian).social_name == "Jim"


def test_mothers_name(taken: Callable[..., ImportedPatient]) -> None:
    maiden = {"url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName", "valueString": "Maria Souza"}
    assert taken(extension=[maiden]).mother_name == "Maria Souza"
    parent = {
        "url": "http://www.saude.gov.br/fhir/r4/StructureDefinition/BRParentesIndividuo-1.0",
        "extension": [
            {"url": "relationship", "valueCode": "mother"},
            {"url": "parent", "valueHumanName": {"text": "Joana Lima"}},
        ],
    }
    assert taken(extension=[parent]).mother_name == "Joana Lima"


def test_security_23_documents_by_system_and_by_brazilian_type(taken: Callable[..., ImportedPatient]) -> None:
    by_system = taken(
        identifier=[{"system": RNDS_CPF, "value": "529.982.247-25"}, {"system": RNDS_CNS, "value": VALID_CNS}]
    )
    assert (by_system.cpf, by_system.cns) == (VALID_CPF, VALID_CNS)
    by_type = taken(
        identifier=[
            {"type": {"coding": [{"system": BR_TYPES, "code": "TAX"}]}, "value": VALID_CPF},
            {"type": {"coding": [{"system": BR_TYPES, "code": "HC"}]}, "value": VALID_CNS},
            {"type": {"coding": [{"system": HL7_TYPES, "code": "PPN"}]}, "value": "X45815551X"},
        ]
    )
    assert (by_type.cpf, by_type.cns, by_type.passport) == (VALID_CPF, VALID_CNS, "X45815551X")


def test_a_foreign_tax_number_is_no_cpf(taken: Callable[..., ImportedPatient]) -> None:
    foreign = {"type": {"coding": [{"system": HL7_TYPES, "code": "TAX"}]}, "value": "12345678910"}
    ssn = {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-22-1962"}
    entry = taken(identifier=[foreign, ssn])
    assert (entry.cpf, entry.cns, entry.passport) == (None, None, None)


@pytest.mark.parametrize(
    ("system", "value", "kind"),
    [
        (RNDS_CPF, "12345678910", "CPF"),
        (RNDS_CPF, "11111111111", "CPF"),
        (RNDS_CPF, "5299822472", "CPF"),
        (RNDS_CNS, "100000000000015", "CNS"),
        ("urn:oid:2.16.840.1.113883.13.237", "52998224724", "CPF"),
    ],
)
def test_an_invalid_document_refuses_the_patient_and_is_never_repeated(
    refused: Callable[..., tuple[str, str]], system: str, value: str, kind: str
) -> None:
    pointer, reason = refused(patient(identifier=[{"system": system, "value": value}]))
    assert pointer == "/identifier/0/value"
    assert reason == f"the {kind} is not valid: its check digits do not fit"
    assert value not in reason


def test_two_different_cpfs_are_refused(refused: Callable[..., tuple[str, str]]) -> None:
    identifiers = [{"system": RNDS_CPF, "value": VALID_CPF}, {"system": RNDS_CPF, "value": "11144477735"}]
    assert refused(patient(identifier=identifiers)) == ("/identifier/1/value", "there is a second, different CPF")


@pytest.mark.parametrize(
    ("elements", "pointer", "reason"),
    [
        ({"id": "bad-id_1"}, "/id", "is no FHIR id: 1 to 64 letters, digits, hyphens and dots"),
        ({"id": "a" * 65}, "/id", "is no FHIR id: 1 to 64 letters, digits, hyphens and dots"),
        ({"id": 5}, "/id", "is no FHIR id: 1 to 64 letters, digits, hyphens and dots"),
        ({"name": []}, "/name", "full_name is missing"),
        ({"name": [{"text": "   "}]}, "/name/0", "full_name is missing"),
        ({"name": [{"text": "x" * 201}]}, "/name/0", "full_name is longer than 200 characters"),
        ({"name": {"text": "Ana"}}, "/name", "must be an array"),
        ({"name": [{"text": 5}]}, "/name/0/text", "must be a string"),
        ({"gender": "feminino"}, "/gender", "is none of male, female, other, unknown"),
        ({"birthDate": "1980-02-30"}, "/birthDate", "is not valid in FHIR R4"),
        ({"birthDate": "2999-01-01"}, "/birthDate", "lies in the future"),
        ({"birthDate": "{{nascimento}}"}, "/birthDate", "is a placeholder of a template, not data"),
        ({"name": [{"text": "{{nome}}"}]}, "/name/0/text", "is a placeholder of a template, not data"),
        ({"deceasedDateTime": "1950-01-01"}, "/deceasedDateTime", "is before the birth date"),
        ({"unknownElement": 1}, "/unknownElement", "is no element of this resource"),
        ({"Elemento Estranho": 1}, "/?", "is no element of this resource"),
        ({"contained": [{"resourceType": "../../etc"}]}, "", "is not valid in FHIR R4"),
        ({"implicitRules": "http://x"}, "/implicitRules", UNKNOWN_MEANING),
    ],
)  # fmt: skip
def test_refusals(refused: Callable[..., tuple[str, str]], elements: dict[str, Any], pointer: str, reason: str) -> None:
    assert refused(patient() | elements) == (pointer, reason)


def test_a_patient_without_an_id_could_not_be_recognised_again(refused: Callable[..., tuple[str, str]]) -> None:
    resource = patient()
    del resource["id"]
    assert refused(resource) == ("/id", "has no id, so a second import could not recognise it")


def test_allergies(write: Write) -> None:
    reaction = [{"manifestation": [{"text": "Urticária"}, {"text": "Prurido"}], "severity": "moderate"}]
    found = read(write("a.json", json.dumps(bundle(patient(), allergy(reaction=reaction, onsetDateTime="2004")))))
    (entry,) = found.of(ImportedAllergy)
    assert (entry.substance, entry.reaction, entry.severity) == ("Dipirona", "Urticária; Prurido", "MODERATE")
    assert entry.patient == Key("fhir", UUID_1)
    assert entry.noted_at == datetime(2004, 1, 1, 2, tzinfo=UTC)


def test_what_is_no_allergy_does_not_become_one(write: Write) -> None:
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
    none_known = {"coding": [{"system": "http://snomed.info/sct", "code": "716186003", "display": "No known allergy"}]}
    found = read(
        write(
            "a.ndjson",
            as_lines(
                allergy(verificationStatus={"coding": [{"system": system, "code": "entered-in-error"}]}),
                allergy(code=none_known),
                allergy(code={}),
            ),
        )
    )
    assert [reject.reason for reject in found.rejects] == [
        "is marked as an error or refuted at its source",
        "states that there is no allergy",
        "substance is missing",
    ]
    assert [reject.line for reject in found.rejects] == [1, 2, 3]
