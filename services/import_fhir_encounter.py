"""FHIR R4 Encounter, Condition and MedicationRequest → a record and what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from models.record import KINDS, PRIORITIES
from services.import_entries import Finding, ImportedEncounter, Key, Place
from services.import_fhir_elements import (
    Resource,
    child,
    cid10_of,
    concept_text,
    has_code,
    is_own,
    objects,
    own_extension,
    own_text,
    text,
)
from services.import_fhir_references import own_key
from services.import_rules import EntryRefused, checked_cid10, required, within
from services.import_times import END_OF_TIME, TimeRefused, check_period, read_moment

HAPPENED = frozenset({"arrived", "triaged", "in-progress", "onleave", "finished", "unknown"})
NOT_HAPPENED = frozenset({"planned", "cancelled", "entered-in-error"})
NOT_MEANT = ("entered-in-error", "refuted")
NOT_ORDERED = frozenset({"entered-in-error", "draft", "cancelled"})


def map_encounter(
    resource: Resource, place: Place, key: Key, patient: Key, zone: ZoneInfo, now: datetime
) -> ImportedEncounter:
    """A checked Encounter. Raises EntryRefused with a pointer into the resource."""
    status = resource.get("status")
    if status in NOT_HAPPENED:
        raise EntryRefused("did not take place, or was entered in error", "/status")
    if status not in HAPPENED:
        raise EntryRefused("is no status that FHIR knows", "/status")
    kinds = objects(resource.get("type"))
    title = own_text(resource, "title") or (concept_text(kinds[0]) if kinds else None)
    reasons = objects(resource.get("reasonCode"))
    priority = own_extension(resource, "priority").get("valueCode")
    kind = own_extension(resource, "kind").get("valueCode")
    if (priority is not None and priority not in PRIORITIES) or (kind is not None and kind not in KINDS):
        raise EntryRefused("has a kind or priority unknown to this version", "/extension")
    restricted = own_extension(resource, "restricted").get("valueBoolean")
    code = child(resource, "class").get("code")
    return ImportedEncounter(
        place=place,
        key=key,
        patient=patient,
        occurred_at=_start(resource, zone, now),
        title=required("title", title, "/type/0"),
        encounter_class=code.upper() if isinstance(code, str) else "",
        reason=concept_text(reasons[0]) if reasons and not is_own(resource) else None,
        kind=kind,
        priority=priority,
        treatment=within("treatment", own_text(resource, "treatment"), "/extension"),
        notes=within("notes", own_text(resource, "notes"), "/extension"),
        restricted=restricted if isinstance(restricted, bool) else None,
        amends=own_key(resource, "amends"),
    )


def map_condition(resource: Resource, place: Place, key: Key, encounter: Key, patient: Key) -> Finding:
    """A checked Condition as the diagnosis of an encounter. Raises EntryRefused."""
    if has_code(resource.get("verificationStatus"), *NOT_MEANT):
        raise EntryRefused("is marked as an error or refuted at its source", "/verificationStatus")
    code = resource.get("code")
    words = own_text(resource, "diagnosis") or concept_text(code)
    codes = checked_cid10(cid10_of(code), "/code/coding")
    if not words and not codes:
        raise EntryRefused("says nothing: no text, no display, no CID-10 code", "/code")
    return Finding(place, key, encounter, patient, is_diagnosis=True, text=words or "", cid10_codes=codes)


def map_medication(
    resource: Resource, place: Place, key: Key, encounter: Key, patient: Key, medications: Mapping[str, str]
) -> Finding:
    """A checked MedicationRequest as the treatment of an encounter.

    ``medications`` are the texts of Medication resources nearby, by reference. Raises EntryRefused.
    """
    if resource.get("status") in NOT_ORDERED:
        raise EntryRefused("was cancelled, not finished, or entered in error", "/status")
    if resource.get("doNotPerform") is True:
        raise EntryRefused("says what must NOT be given; that cannot be kept as a treatment", "/doNotPerform")
    words = concept_text(resource.get("medicationCodeableConcept")) or _referenced(resource, medications)
    text_of_order = required("treatment", words, "/medicationCodeableConcept")
    return Finding(place, key, encounter, patient, is_diagnosis=False, text=text_of_order)


def _referenced(resource: Resource, medications: Mapping[str, str]) -> str | None:
    element = child(resource, "medicationReference")
    reference = text(element.get("reference")) or ""
    for contained in objects(resource.get("contained")):
        if reference == f"#{contained.get('id')}":
            return concept_text(contained.get("code"))
    return medications.get(reference) or text(element.get("display"))


def _start(resource: Resource, zone: ZoneInfo, now: datetime) -> datetime:
    period = child(resource, "period")
    if "start" not in period:
        raise EntryRefused("is missing, so it is not known when this took place", "/period/start")
    pointer = "/period/start"
    try:
        start = read_moment(period["start"], zone, now=now)
        if "end" in period:
            pointer = "/period/end"
            end = read_moment(period["end"], zone, now=END_OF_TIME)  # a stay may be planned to end later
            pointer = "/period"
            check_period(start, end)
    except TimeRefused as refused:
        raise EntryRefused(str(refused), pointer) from None
    return start.at
