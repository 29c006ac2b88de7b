"""Encounters, conditions and prescriptions from FHIR: put together, whatever the order and the references."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services import import_fhir, import_read, import_sources
from services.import_entries import Finding, ImportedEncounter, ImportedPatient, ImportedRecord, Key
from services.import_fhir import ReadingRules
from tests.import_export.conftest import RULES, read, spooled
from tests.import_export.fhir_samples import (
    ICD_10,
    UUID_1,
    UUID_2,
    UUID_3,
    UUID_4,
    as_lines,
    bundle,
    condition,
    encounter,
    medication,
    patient,
    whole_bundle,
)

Write = Callable[..., Path]
NO_TYPE = "is no FHIR R4 resource type"
OTHER_UUID = "99999999-9999-4999-8999-999999999999"


def the_record(home: Path, *paths: Path) -> ImportedRecord:
    with spooled(home, *paths) as (units, rejects):
        assert rejects == []
        (unit,) = units
        assert unit.rejects == ()
        (record,) = unit.records
        return record


def test_a_record_is_an_encounter_with_what_points_to_it(write: Write, tmp_path: Path) -> None:
    record = the_record(tmp_path, write("b.json", json.dumps(whole_bundle(), indent=1)))
    assert record.key == Key("fhir", UUID_2)
    assert record.patient == Key("fhir", UUID_1)
    assert record.occurred_at == datetime(2020, 3, 4, 13, tzinfo=UTC)
    assert (record.title, record.kind, record.priority) == ("Encounter for symptom", "CONSULTATION", "NORMAL")
    assert (record.diagnosis, record.treatment) == ("Hipertensão essencial", "Losartana 50 mg")
    assert record.cid10_codes == ("I10",)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_order_and_files_do_not_matter(write: Write, tmp_path: Path, order: tuple[int, ...]) -> None:
    """Bulk export: a file per type, relative references, any order."""
    resources = [
        patient("p-1"),
        encounter("e-1", "Patient/p-1"),
        condition("c-1", "Patient/p-1", "Encounter/e-1"),
        medication("m-1", "Patient/p-1", "Encounter/e-1"),
    ]
    paths = [write(f"{place}.ndjson", as_lines(resources[number])) for place, number in enumerate(order)]
    record = the_record(tmp_path, paths[0].parent)
    assert (record.diagnosis, record.treatment) == ("Hipertensão essencial", "Losartana 50 mg")
    assert record.key == Key("fhir", "e-1")


@pytest.mark.parametrize(
    ("encounter_class", "title", "kind", "priority"),
    [
        ("EMER", "Emergency Encounter", "EMERGENCY", "CRITICAL"),
        ("IMP", "Encounter Inpatient", "OTHER", "HIGH"),
        ("AMB", "Encounter for check up (procedure)", "CONSULTATION", "LOW"),
        ("AMB", "Follow-up encounter", "RETURN", "NORMAL"),
        ("AMB", "Outpatient procedure (procedure)", "PROCEDURE", "NORMAL"),
        ("AMB", "Death Certification", "OTHER", "NORMAL"),
        ("VR", "Telemedicine consultation with patient", "CONSULTATION", "NORMAL"),
    ],
)
def test_kind_and_priority(
    write: Write, tmp_path: Path, encounter_class: str, title: str, kind: str, priority: str
) -> None:
    visited = encounter(type=[{"text": title}])
    visited["class"]["code"] = encounter_class
    record = the_record(tmp_path, write("b.json", json.dumps(bundle(patient(), visited, condition()))))
    assert (record.kind, record.priority) == (kind, priority)


def test_diagnoses_are_joined_and_said_once(write: Write, tmp_path: Path) -> None:
    ids = [f"{number}0000000-0000-4000-8000-000000000000" for number in range(5, 9)]
    texts = ["Asma", "Rinite", "Asma"]
    conditions = [condition(each, code={"text": text}) for each, text in zip(ids, texts, strict=False)]
    record = the_record(tmp_path, write("b.json", json.dumps(bundle(patient(), encounter(), *conditions))))
    assert record.diagnosis == "Asma; Rinite"


def test_without_a_condition_the_reason_is_the_diagnosis(write: Write, tmp_path: Path) -> None:
    visited = encounter(reasonCode=[{"coding": [{"display": "Normal pregnancy"}]}])
    record = the_record(tmp_path, write("b.json", json.dumps(bundle(patient(), visited))))
    assert (record.diagnosis, record.treatment) == ("Normal pregnancy", None)


def test_medication_that_is_referenced(write: Write, tmp_path: Path) -> None:
    contained = medication(
        contained=[{"resourceType": "Medication", "id": "m", "code": {"text": "Oxicodona"}}],
        medicationReference={"reference": "#m"},
    )
    del contained["medicationCodeableConcept"]
    beside = medication(UUID_3, medicationReference={"reference": f"urn:uuid:{OTHER_UUID}"})
    del beside["medicationCodeableConcept"]
    medicine = {"resourceType": "Medication", "id": OTHER_UUID, "code": {"text": "Dipirona"}}
    path = write("b.json", json.dumps(bundle(patient(), encounter(), contained, beside, medicine)))
    assert the_record(tmp_path, path).treatment == "Oxicodona; Dipirona"


def test_ids_count_only_within_their_system(write: Write) -> None:
    """``Patient/1`` exists at every hospital; a UUID means one thing everywhere."""

    def keys(path: Path, rules: ReadingRules = RULES) -> list[Key]:
        return [entry.key for entry in read(path, rules=rules).entries]

    entry = {"fullUrl": "http://acme.example/fhir/Patient/1", "resource": patient("1")}
    other = {"fullUrl": "http://other.example/fhir/Patient/1", "resource": patient("1")}
    own = {"fullUrl": f"http://other.example/fhir/Patient/{UUID_1}", "resource": patient()}
    assert keys(write("b.ndjson", as_lines(*(bundle() | {"entry": [each]} for each in (entry, other, own))))) == [
        Key("fhir:http://acme.example/fhir", "1"),
        Key("fhir:http://other.example/fhir", "1"),
        Key("fhir", UUID_1),
    ]
    lone = write("p.json", json.dumps(patient("1")))
    assert keys(lone) == [Key("fhir", "1")]
    assert keys(lone, ReadingRules(RULES.zone, RULES.now, "hospital-a")) == [Key("hospital-a", "1")]


def test_relative_references_stay_within_the_system(write: Write) -> None:
    entries = [
        {"fullUrl": "http://acme.example/fhir/Encounter/7", "resource": encounter("7", "Patient/not-in-here")},
    ]
    found = read(write("b.json", json.dumps(bundle() | {"entry": entries})))
    assert found.of(ImportedEncounter)[0].patient == Key("fhir:http://acme.example/fhir", "not-in-here")


@pytest.mark.parametrize(
    ("resource", "pointer", "reason"),
    [
        (encounter(of="Practitioner/1"), "/subject", "does not point to a Patient"),
        (encounter(of="#p"), "/subject", "is a kind of reference that cannot be followed here"),
        (encounter(of="Patient?identifier=x|1"), "/subject", "is a kind of reference that cannot be followed here"),
        (encounter(of="Patient/bad_id"), "/subject", "points to an illegal FHIR id"),
        (encounter(subject={}), "/subject", "names no Patient"),
        (encounter(status="planned"), "/status", "did not take place, or was entered in error"),
        (encounter(status="done"), "/status", "is no status that FHIR knows"),
        (encounter(type=[]), "/type/0", "title is missing"),
        (encounter(type=[{"text": "x" * 201}]), "/type/0", "title is longer than 200 characters"),
        (encounter(period={}), "/period/start", "is missing, so it is not known when this took place"),
        (encounter(period={"start": "2020-01-02T00:00:00Z", "end": "2020-01-01T00:00:00Z"}), "/period",
         "ends before it starts"),
        (encounter(period={"start": "2030-01-02T00:00:00Z"}), "/period/start", "lies in the future"),
        (condition(encounter=None), "/encounter", "names no Encounter"),
        (condition(code={"coding": [{"system": ICD_10, "code": "hypertension"}]}), "/code/coding", "is no CID-10 code"),
        (condition(code={}), "/code", "says nothing: no text, no display, no CID-10 code"),
        (medication(doNotPerform=True), "/doNotPerform",
         "says what must NOT be given; that cannot be kept as a treatment"),
        (medication(status="entered-in-error"), "/status", "was cancelled, not finished, or entered in error"),
        (medication(modifierExtension=[{"url": "http://x", "valueBoolean": True}]), "/modifierExtension",
         "changes the meaning of the resource in a way that is unknown here"),
    ],
)  # fmt: skip
def test_refusals(write: Write, resource: dict[str, Any], pointer: str, reason: str) -> None:
    found = read(write("r.ndjson", as_lines(resource)))
    assert found.entries == []
    assert [(reject.pointer, reject.reason) for reject in found.rejects] == [(pointer, reason)]


def test_a_condition_without_an_encounter_belongs_to_no_record(write: Write) -> None:
    resource = condition()
    del resource["encounter"]
    assert read(write("c.json", json.dumps(resource))).reason == "belongs to no encounter, so to no record"


@pytest.mark.parametrize(
    ("spoil", "pointer", "reason"),
    [
        ({"type": "history"}, "/type", "is no kind of bundle that holds a patient's resources"),
        ({"type": None}, "/type", "is no kind of bundle that holds a patient's resources"),
        ({"entry": []}, "/entry", "holds nothing"),
        ({"entry": {}}, "/entry", "holds nothing"),
        ({"entry": [{"fullUrl": ""}]}, "/entry/0/fullUrl", "must be a URL"),
        ({"entry": [{"fullUrl": "urn:uuid:1"}, {"fullUrl": "urn:uuid:1"}]}, "/entry/1/fullUrl",
         "stands twice in one bundle"),
        ({"entry": [None]}, "/entry/0/resource", "holds no resource"),
        ({"entry": [{"request": {"method": "DELETE", "url": "Patient/1"}}]}, "/entry/0/resource", "holds no resource"),
        ({"entry": [{"resource": {"resourceType": "Nonsense"}}]}, "/entry/0/resource/resourceType", NO_TYPE),
        ({"entry": [{"resource": {"resourceType": ["Patient"]}}]}, "/entry/0/resource/resourceType", NO_TYPE),
    ],
)  # fmt: skip
def test_bundles_that_are_none(write: Write, spoil: dict[str, Any], pointer: str, reason: str) -> None:
    found = read(write("b.json", json.dumps(bundle() | spoil)))
    assert found.entries == []
    assert [(reject.pointer, reject.reason) for reject in found.rejects] == [(pointer, reason)]


def test_one_bad_entry_does_not_take_the_others_along(write: Write, tmp_path: Path) -> None:
    spoilt = encounter(OTHER_UUID, period={"start": "2020-01-02", "end": "2020-01-01"})
    lost = condition(UUID_4, at=f"urn:uuid:{OTHER_UUID}")
    path = write("b.json", json.dumps(bundle(patient(), encounter(), condition(), spoilt, lost)))
    with spooled(tmp_path, path) as (units, rejects):
        assert [record.key.id for record in units[0].records] == [UUID_2]
        assert [(reject.pointer, reject.reason) for reject in rejects] == [
            ("/entry/3/resource/period", "ends before it starts"),
            ("/entry/4/resource", "its encounter is not in this import, or was refused; import both together"),
        ]


def test_a_diagnosis_never_reaches_another_patients_record(write: Write, tmp_path: Path) -> None:
    stray = condition(of=f"urn:uuid:{OTHER_UUID}")
    path = write("b.json", json.dumps(bundle(patient(), patient(OTHER_UUID), encounter(), stray)))
    with spooled(tmp_path, path) as (units, rejects):
        assert units[0].records[0].diagnosis is None
        assert [reject.reason for reject in rejects] == ["its encounter is that of another patient"]


def test_the_same_entry_twice_counts_once_and_another_under_its_id_is_refused(write: Write, tmp_path: Path) -> None:
    changed = patient(birthDate="1999-01-01")
    path = write("p.ndjson", as_lines(patient(), patient(), changed))
    with spooled(tmp_path, path) as (units, rejects):
        assert len(units) == 1
        assert [(reject.line, reject.reason) for reject in rejects] == [
            (3, "its id is already that of another, different entry (p.ndjson, line 1)")
        ]


def test_types_without_a_place_are_counted(write: Write) -> None:
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    entries = [{"resource": each} for each in (patient(), observation)]
    found = read(write("b.json", json.dumps(bundle() | {"entry": entries})))
    assert (len(found.entries), found.ignored, found.rejects) == (1, ["Observation"], [])
    assert read(write("o.json", json.dumps(observation))).reason == "nothing to import: it holds Observation"


def test_blank_lines_and_bad_lines(write: Write) -> None:
    text = as_lines(patient("a")) + "\n   \n" + "{broken\n" + as_lines(patient("b")) + "[]\n"
    found = read(write("p.ndjson", text))
    assert [entry.key.id for entry in found.of(ImportedPatient)] == ["a", "b"]
    assert [(reject.line, reject.reason[:23]) for reject in found.rejects] == [
        (4, "not well-formed JSON: e"),
        (6, "is JSON, but no object,"),
    ]


def test_lines_are_known_by_content_too(write: Write) -> None:
    assert len(read(write("p.txt", as_lines(patient("a"), patient("b")))).entries) == 2
    assert len(read(write("p.json", as_lines(patient("a"), patient("b")))).entries) == 2
    assert len(read(write("pretty.json", json.dumps(patient("a"), indent=2))).entries) == 1


def test_a_file_of_something_else_is_one_refusal(write: Write) -> None:
    notes = as_lines(*({"id": str(number), "text": "note"} for number in range(10)))
    assert read(write("n.jsonl", notes)).reason == "is JSON, but not FHIR: its first line has no resourceType"
    assert read(write("r.md", "# hello\n")).reason.startswith("is neither FHIR (JSON, NDJSON) nor CSV")
    assert read(write("e.json", "")).reason == "is empty"
    assert read(write("p.json", json.dumps(patient())), wanted="csv").reason == "is fhir, and csv was asked for"


def test_masked_copies_are_refused(write: Write) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "MASKED"}
    assert read(write("p.json", json.dumps(patient(meta={"security": [label]})))).reason.startswith("is a masked copy")


def test_findings_keep_their_words(write: Write) -> None:
    text = "<img src=x onerror=alert(1)> ' OR 1=1 --"
    found = read(write("c.json", json.dumps(condition(code={"text": text}))))
    assert found.of(Finding)[0].text == text


@pytest.mark.parametrize("name", ["p.ndjson", "p.json"])
def test_security_24_what_is_too_large_is_refused_unread(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in (import_sources, import_fhir, import_read):
        monkeypatch.setattr(module, "LINE_MAX", 1_000)
    large = patient(text={"status": "generated", "div": "x" * 2_000})
    pretty = json.dumps(large, indent=1) if name.endswith(".json") else as_lines(large)
    found = read(write(name, pretty))
    assert found.entries == []
    assert found.reason.startswith(("the line is longer than", "the document is longer than"))


def test_own_texts_in_base64(write: Write) -> None:
    url = "https://sigilo.invalid/fhir/full-name"
    packed = patient(extension=[{"url": url, "valueBase64Binary": "Sm9zw6kH"}])
    assert read(write("p.json", json.dumps(packed))).of(ImportedPatient)[0].full_name == "José\x07"
    for broken in ("/w==", "AA=="):
        spoilt = patient(extension=[{"url": url, "valueBase64Binary": broken}])
        assert read(write("p.json", json.dumps(spoilt))).reason == "is no text in base64"
