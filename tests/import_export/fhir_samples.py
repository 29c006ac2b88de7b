"""Small FHIR resources for tests, valid unless a test spoils them."""

from __future__ import annotations

import json
from typing import Any

Resource = dict[str, Any]

UUID_1 = "11111111-1111-4111-8111-111111111111"
UUID_2 = "22222222-2222-4222-8222-222222222222"
UUID_3 = "33333333-3333-4333-8333-333333333333"
UUID_4 = "44444444-4444-4444-8444-444444444444"
RNDS_CPF = "http://rnds.saude.gov.br/fhir/r4/NamingSystem/cpf"
RNDS_CNS = "http://rnds.saude.gov.br/fhir/r4/NamingSystem/cns"
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
VALID_CPF = "52998224725"
VALID_CNS = "700000000000005"


def patient(identifier: str = UUID_1, /, **elements: Any) -> Resource:
    return {
        "resourceType": "Patient",
        "id": identifier,
        "name": [{"use": "official", "family": "Ávila", "given": ["Conceição", "Maria"], "prefix": ["Dra."]}],
        "gender": "female",
        "birthDate": "1980-02-29",
        **elements,
    }


def encounter(identifier: str = UUID_2, /, of: str = f"urn:uuid:{UUID_1}", **elements: Any) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": identifier,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "type": [{"text": "Encounter for symptom"}],
        "subject": {"reference": of},
        "period": {"start": "2020-03-04T10:00:00-03:00", "end": "2020-03-04T10:15:00-03:00"},
        **elements,
    }


def condition(
    identifier: str = UUID_3, /, of: str = f"urn:uuid:{UUID_1}", at: str = f"urn:uuid:{UUID_2}", **elements: Any
) -> Resource:
    return {
        "resourceType": "Condition",
        "id": identifier,
        "code": {
            "text": "Hipertensão essencial",
            "coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "I10"}],
        },
        "subject": {"reference": of},
        "encounter": {"reference": at},
        **elements,
    }


def medication(
    identifier: str = UUID_4, /, of: str = f"urn:uuid:{UUID_1}", at: str = f"urn:uuid:{UUID_2}", **elements: Any
) -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "id": identifier,
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Losartana 50 mg"},
        "subject": {"reference": of},
        "encounter": {"reference": at},
        **elements,
    }


def allergy(identifier: str = UUID_4, /, of: str = f"urn:uuid:{UUID_1}", **elements: Any) -> Resource:
    return {
        "resourceType": "AllergyIntolerance",
        "id": identifier,
        "code": {"text": "Dipirona"},
        "patient": {"reference": of},
        **elements,
    }


def bundle(*resources: Resource, **elements: Any) -> Resource:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"fullUrl": f"urn:uuid:{each['id']}", "resource": each} for each in resources],
        **elements,
    }


def whole_bundle() -> Resource:
    """A patient with one record, its diagnosis and its treatment."""
    return bundle(patient(), encounter(), condition(), medication())


def as_lines(*values: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)
