"""An export as FHIR R4: one transaction bundle of a patient a line (NDJSON).

What R4 has an element for stands there; the rest, and any text with characters that R4's string forbids, is in
extensions of ours, so that our importer reads back exactly what was written.
"""

from __future__ import annotations

import base64
import re
from typing import Any, BinaryIO

import orjson

from config import PRODUCT_NAME, PRODUCT_VERSION
from services.export_read import Exported, ExportedPatient
from services.import_fhir_elements import EXPORT_TAG, MASKED, MASKED_SYSTEM, OWN, OWN_TAG, Resource
from services.import_fhir_patient import MOTHERS_NAME
from services.import_fhir_references import origin_extension

FILES = ("sigilo.ndjson",)
MARK = f"{PRODUCT_NAME} {PRODUCT_VERSION}"  # SBIS NGS1.01.01: product and version on every export
# FHIR R4, 2.24.0.1: no control characters but tab, line feed and carriage return.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
ACT_CODES = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CID10 = "http://www.saude.gov.br/fhir/r4/CodeSystem/BRCID10"
DOCUMENTS = {
    "cpf": ("http://rnds.saude.gov.br/fhir/r4/NamingSystem/cpf", None),
    "cns": ("http://rnds.saude.gov.br/fhir/r4/NamingSystem/cns", None),
    "passport": (None, {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PPN"}]}),
}
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


class FhirExport:
    """Writes bundles into the one file of ``FILES``. A patient with very many records gets several."""

    def __init__(self, files: list[BinaryIO]) -> None:
        (self._file,) = files
        self._wrote_records = False

    def patient(self, exported: ExportedPatient) -> None:
        """Begin a patient; nothing is written before the first records, or the end."""
        self._wrote_records = False

    def records(self, exported: ExportedPatient, records: list[Exported]) -> None:
        """Write a bundle: the patient, at first their allergies, and these records."""
        resources = [patient_resource(exported.patient)]
        if not self._wrote_records:
            resources += [allergy_resource(allergy, exported.patient) for allergy in exported.allergies]
        for record in records:
            resources.append(encounter_resource(record, exported.patient))
            if record.values["diagnosis"] is not None or record.values["cid10Codes"]:
                resources.append(condition_resource(record, exported.patient))
        self._wrote_records = True
        self._file.write(orjson.dumps(bundle(resources), option=orjson.OPT_APPEND_NEWLINE))

    def end_patient(self, exported: ExportedPatient) -> None:
        """Write the patient who has no records."""
        if not self._wrote_records:
            self.records(exported, [])


def bundle(resources: list[Resource]) -> Resource:
    """A transaction that puts every resource under its own id."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": _url(resource["id"]) if len(resource["id"]) == 36 else f"{OWN}/Condition/{resource['id']}",
                "resource": resource,
                "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
            }
            for resource in resources
        ],
    }


def patient_resource(patient: Exported) -> Resource:
    """Patient."""
    values = patient.values
    extensions = [
        *_texts(values, {"socialName": "social-name", "motherName": "mother-name", "nationality": "nationality"}),
        *_exact(values, {"fullName": "full-name", "phone": "phone", "email": "email", "address": "address"}),
    ]
    if values["motherName"]:
        extensions.append({"url": MOTHERS_NAME, "valueString": plain(values["motherName"])})
    if values["birthDateEstimated"]:
        extensions.append({"url": f"{OWN}/birth-date-estimated", "valueBoolean": True})
    names = [{"use": "official", "text": plain(values["fullName"])}] if values["fullName"] else []
    if values["socialName"]:
        names.append({"use": "usual", "text": plain(values["socialName"])})
    telecom = [{"system": kind, "value": plain(values[kind])} for kind in ("phone", "email") if values[kind]]
    return _resource(
        "Patient",
        patient,
        extensions,
        identifier=[
            {"system": system, "type": kind, "value": values[name]}
            for name, (system, kind) in DOCUMENTS.items()
            if values[name]
        ],
        name=names,
        telecom=telecom,
        gender=None if values["sex"] is None else values["sex"].lower(),
        birthDate=values["birthDate"],
        deceasedDateTime=values["deceasedAt"],
        address=[{"text": plain(values["address"])}] if values["address"] else [],
    )


def allergy_resource(allergy: Exported, patient: Exported) -> Resource:
    """AllergyIntolerance."""
    values = allergy.values
    extensions = [*_exact(values, {"substance": "substance"}), *_texts(values, {"reaction": "reaction"})]
    if values["severity"]:
        extensions.append({"url": f"{OWN}/severity", "valueCode": values["severity"]})
    reaction = [{"manifestation": [{"text": plain(values["reaction"])}]}] if values["reaction"] else []
    return _resource(
        "AllergyIntolerance",
        allergy,
        extensions,
        code={"text": plain(values["substance"])} if values["substance"] else None,
        patient=_reference(patient),
        recordedDate=values["notedAt"],
        reaction=reaction,
    )


def encounter_resource(record: Exported, patient: Exported) -> Resource:
    """Encounter, with the treatment and notes in extensions: free text is no MedicationRequest."""
    values = record.values
    extensions = [
        *_exact(values, {"title": "title"}),
        *_texts(values, {"treatment": "treatment", "notes": "notes"}),
        *({"url": f"{OWN}/{name}", "valueCode": values[name]} for name in ("kind", "priority") if values[name]),
    ]
    if values["restricted"] is not None:
        extensions.append({"url": f"{OWN}/restricted", "valueBoolean": values["restricted"]})
    if values.get("amends"):
        extensions.append(origin_extension("amends", values["amends"]))
    author = {"individual": {"display": plain(values["author"])}} if values["author"] else None
    return _resource(
        "Encounter",
        record,
        extensions,
        status="finished",
        **{"class": {"system": ACT_CODES, "code": "EMER" if values["kind"] == "EMERGENCY" else "AMB"}},
        type=[{"text": plain(values["title"])}] if values["title"] else [],
        subject=_reference(patient),
        participant=[author] if author else [],
        period={"start": values["occurredAt"]},
    )


def condition_resource(record: Exported, patient: Exported) -> Resource:
    """Condition: the diagnosis of one record, with its CID-10 codes."""
    values = record.values
    code: Resource = {"coding": [{"system": CID10, "code": item} for item in values["cid10Codes"] or ()]}
    if values["diagnosis"]:
        code["text"] = plain(values["diagnosis"])
    return {
        "resourceType": "Condition",
        "id": f"{record.id}-diagnosis",
        "meta": _meta(record),
        **_filled({"extension": _exact(values, {"diagnosis": "diagnosis"})}),
        "code": _filled(code),
        "subject": _reference(patient),
        "encounter": {"reference": _url(str(record.id))},
    }


def plain(text: str) -> str:
    """A text as R4's string may hold it."""
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _texts(values: dict[str, Any], names: dict[str, str]) -> list[Resource]:
    """Extensions for texts that R4 has no element for."""
    return [_text(names[name], values[name]) for name in names if values[name]]


def _exact(values: dict[str, Any], names: dict[str, str]) -> list[Resource]:
    """Extensions for texts that their element cannot hold as they are."""
    return [_text(names[name], values[name]) for name in names if values[name] and FORBIDDEN.search(values[name])]


def _text(name: str, value: str) -> Resource:
    if FORBIDDEN.search(value):
        return {"url": f"{OWN}/{name}", "valueBase64Binary": base64.b64encode(value.encode()).decode()}
    return {"url": f"{OWN}/{name}", "valueString": value}


def _resource(kind: str, exported: Exported, extensions: list[Resource], **elements: Any) -> Resource:
    marks = [{"url": ABSENT, "valueCode": "masked"}] if exported.masked else []
    return {
        "resourceType": kind,
        "id": str(exported.id),
        "meta": _meta(exported),
        "extension": [origin_extension("origin", exported.key), *marks, *extensions],
        **_filled(elements),
    }


def _meta(exported: Exported) -> Resource:
    meta: Resource = {"tag": [{"system": OWN_TAG, "code": EXPORT_TAG, "display": MARK}]}
    if exported.masked:
        meta["security"] = [{"system": MASKED_SYSTEM, "code": MASKED, "display": "|".join(exported.masked)}]
    return meta


def _filled(elements: dict[str, Any]) -> Resource:
    return {name: _without_none(value) for name, value in elements.items() if value not in (None, [], {})}


def _without_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return {name: item for name, item in value.items() if item is not None} if isinstance(value, dict) else value


def _reference(patient: Exported) -> Resource:
    return {"reference": _url(str(patient.id))}


def _url(identifier: str) -> str:
    return f"urn:uuid:{identifier}"
