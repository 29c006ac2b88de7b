"""Reading FHIR R4: bundles and lone resources, one JSON document or one resource a line, into neutral entries.

Of a patient's bundle, an entry that is wrong is refused by itself; whatever hung on it is refused later, when
the entries are put together (``import_spool``), because a reference may also lead to another file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

from fhir.resources.R4B import fhirtypes

from services.import_entries import Entry, Ignored, Place, Reject
from services.import_fhir_check import MODELS, check_resource
from services.import_fhir_elements import Resource, concept_text, is_own, refuse_placeholders
from services.import_fhir_encounter import map_condition, map_encounter, map_medication
from services.import_fhir_patient import map_allergy, map_patient
from services.import_fhir_references import References
from services.import_identifiers import read_documents
from services.import_json import JsonRefused, read_json
from services.import_rules import EntryRefused
from services.import_sources import LINE_MAX, lines

# A history holds several versions of one thing, and a response no resources: neither is a source.
BUNDLE_TYPES = frozenset({"transaction", "batch", "collection", "searchset", "document", "message"})
ENTRIES_MAX = 50_000
TYPE_NAME = re.compile(r"[A-Z][A-Za-z]{1,63}")
TOO_LONG = f"longer than {LINE_MAX // 1024 // 1024} MiB; split it into NDJSON, one resource or bundle a line"


@dataclass(frozen=True)
class ReadingRules:
    """What reading depends on besides the bytes: the clinic's zone, the time of day, a name for the source."""

    zone: ZoneInfo
    now: datetime
    source: str | None = None


def read_fhir_lines(stream: IO[bytes], name: str, rules: ReadingRules) -> Iterator[Entry | Reject | Ignored]:
    """NDJSON: each line a bundle or a resource. A bad line is refused by itself; empty ones are passed over."""
    for number, data in lines(stream):
        if data is None:
            yield Reject(name, number, "", f"the line is {TOO_LONG}")
        elif data.strip():
            yield from _read(data.rstrip(), Place(name, number), rules)


def read_fhir_document(stream: IO[bytes], name: str, rules: ReadingRules) -> Iterator[Entry | Reject | Ignored]:
    """One JSON document: a bundle or a resource."""
    data = stream.read(LINE_MAX + 1)
    if len(data) > LINE_MAX:
        yield Reject(name, 1, "", f"the document is {TOO_LONG}")
    else:
        yield from _read(data, Place(name, 1), rules)


def _read(data: bytes, place: Place, rules: ReadingRules) -> Iterator[Entry | Reject | Ignored]:
    try:
        value = read_json(data)
    except JsonRefused as refused:
        yield Reject(place.file, place.line + refused.line - 1, refused.pointer, refused.reason)
        return
    if not isinstance(value, dict):
        yield _reject(place, EntryRefused("is JSON, but no object, so no FHIR resource"))
    elif value.get("resourceType") == "Bundle":
        yield from _read_bundle(value, place, rules, has_braces=b"{{" in data)
    else:
        yield _read_resource(value, None, place, rules, References(rules.source), {}, has_braces=b"{{" in data)


def _read_bundle(
    bundle: Resource, place: Place, rules: ReadingRules, *, has_braces: bool
) -> Iterator[Entry | Reject | Ignored]:
    entries = bundle.get("entry", [])
    try:
        _check_bundle(bundle, entries)
    except EntryRefused as refused:
        yield _reject(place, refused)
        return
    references = References(rules.source)
    medications: dict[str, str] = {}
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
            references.add(_full_url(entry), resource)
            if resource["resourceType"] == "Medication" and (words := concept_text(resource.get("code"))):
                medications.update(dict.fromkeys(_names(entry, resource), words))
    for number, entry in enumerate(entries):
        here = place._replace(pointer=f"/entry/{number}/resource")
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            yield _reject(here, EntryRefused("holds no resource"))
        else:
            yield _read_resource(
                resource, _full_url(entry), here, rules, references, medications, has_braces=has_braces
            )


def _check_bundle(bundle: Resource, entries: object) -> None:
    kind = bundle.get("type")
    if not isinstance(kind, str) or kind not in BUNDLE_TYPES:
        raise EntryRefused("is no kind of bundle that holds a patient's resources", "/type")
    if not isinstance(entries, list) or not entries:
        raise EntryRefused("holds nothing", "/entry")
    if len(entries) > ENTRIES_MAX:
        raise EntryRefused(f"holds more than {ENTRIES_MAX} entries; split it", "/entry")
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        full_url = entry.get("fullUrl") if isinstance(entry, dict) else None
        if full_url is None:
            continue
        if not isinstance(full_url, str) or not full_url:
            raise EntryRefused("must be a URL", f"/entry/{number}/fullUrl")
        if full_url in seen:
            raise EntryRefused("stands twice in one bundle", f"/entry/{number}/fullUrl")
        seen.add(full_url)


def _read_resource(
    resource: Resource,
    full_url: str | None,
    place: Place,
    rules: ReadingRules,
    references: References,
    medications: dict[str, str],
    *,
    has_braces: bool,
) -> Entry | Reject | Ignored:
    try:
        kind = resource.get("resourceType")
        if not isinstance(kind, str) or not TYPE_NAME.fullmatch(kind) or not hasattr(fhirtypes, f"{kind}Type"):
            raise EntryRefused("is no FHIR R4 resource type", "/resourceType")
        if has_braces and not is_own(resource):
            refuse_placeholders(resource)
        if kind not in MODELS:
            return Ignored(kind)
        check_resource(resource)
        return _map(kind, resource, full_url, place, rules, references, medications)
    except EntryRefused as refused:
        return _reject(place, _with_documents(resource, refused))


def _with_documents(resource: Resource, refused: EntryRefused) -> EntryRefused:
    """The refusal, and what is wrong with a patient's CPF or CNS too: who mends the one mends the other."""
    if resource.get("resourceType") == "Patient" and not refused.pointer.startswith("/identifier"):
        try:
            read_documents(resource)
        except EntryRefused as also:
            return EntryRefused(f"{refused.reason}; {also.pointer}: {also.reason}", refused.pointer)
    return refused


def _map(
    kind: str,
    resource: Resource,
    full_url: str | None,
    place: Place,
    rules: ReadingRules,
    references: References,
    medications: dict[str, str],
) -> Entry:
    key = references.key_of(full_url, resource)
    if kind == "Patient":
        return map_patient(resource, place, key, rules.zone, rules.now)
    subject = "patient" if kind == "AllergyIntolerance" else "subject"
    patient = references.resolved(resource.get(subject), "Patient", f"/{subject}")
    if kind == "Encounter":
        return map_encounter(resource, place, key, patient, rules.zone, rules.now)
    if kind == "AllergyIntolerance":
        return map_allergy(resource, place, key, patient, rules.zone, rules.now)
    if "encounter" not in resource:
        raise EntryRefused("belongs to no encounter, so to no record", "/encounter")
    encounter = references.resolved(resource["encounter"], "Encounter", "/encounter")
    if kind == "Condition":
        return map_condition(resource, place, key, encounter, patient)
    return map_medication(resource, place, key, encounter, patient, medications)


def _full_url(entry: dict[str, Any]) -> str | None:
    value = entry.get("fullUrl")
    return value if isinstance(value, str) else None


def _names(entry: dict[str, Any], resource: Resource) -> list[str]:
    own = f"Medication/{resource['id']}" if isinstance(resource.get("id"), str) else None
    return [name for name in (_full_url(entry), own) if name]


def _reject(place: Place, refused: EntryRefused) -> Reject:
    return Reject(place.file, place.line, place.pointer + refused.pointer, refused.reason)
