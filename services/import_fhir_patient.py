"""FHIR R4 Patient and AllergyIntolerance → what Sigilo keeps of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.import_entries import ImportedAllergy, ImportedPatient, Key, Place
from services.import_fhir_elements import (
    Resource,
    child,
    concept_text,
    extension,
    has_code,
    is_own,
    objects,
    own_extension,
    own_text,
    text,
)
from services.import_identifiers import read_documents
from services.import_rules import EntryRefused, check_life, joined, required, within
from services.import_times import TimeRefused, read_birth_date, read_moment

SEXES = {"female": "FEMALE", "male": "MALE", "other": "OTHER", "unknown": "UNKNOWN"}
MOTHERS_NAME = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
RNDS_PERSON = "/StructureDefinition/BRIndividuo"
RNDS_PARENT = "/StructureDefinition/BRParentesIndividuo"
SEVERITIES = ("MILD", "MODERATE", "SEVERE")
# SNOMED CT: "no known allergy" and its kinds. A statement that there is none must not become one.
NO_ALLERGY = ("716186003", "409137002", "428607008", "429625007", "716184000", "716185004", "1003774007")
NOT_MEANT = ("entered-in-error", "refuted")


def map_patient(resource: Resource, place: Place, key: Key, zone: ZoneInfo, now: datetime) -> ImportedPatient:
    """A checked Patient. Raises EntryRefused with a pointer into the resource."""
    names = objects(resource.get("name"))
    official = next((name for name in names if name.get("use") == "official"), names[0] if names else {})
    position = f"/name/{names.index(official)}" if names else "/name"
    documents = read_documents(resource)
    birth_date, is_estimated = None, False
    if "birthDate" in resource:
        try:
            birth_date, is_estimated = read_birth_date(resource["birthDate"], now=now)
        except TimeRefused as refused:
            raise EntryRefused(str(refused), "/birthDate") from None
        is_estimated |= own_extension(resource, "birth-date-estimated").get("valueBoolean") is True
    deceased_at = _moment(resource, "deceasedDateTime", zone, now)
    check_life(birth_date, deceased_at, "/deceasedDateTime")
    gender = resource.get("gender", "unknown")
    if not isinstance(gender, str) or gender not in SEXES:
        raise EntryRefused("is none of male, female, other, unknown", "/gender")
    return ImportedPatient(
        place=place,
        key=key,
        full_name=required("full_name", own_text(resource, "full-name") or _name(official), position),
        social_name=within("social_name", _social_name(resource, names), "/name"),
        mother_name=within("mother_name", _mother(resource), "/extension"),
        sex=SEXES[gender],
        birth_date=birth_date,
        birth_date_estimated=is_estimated,
        cpf=documents.cpf,
        cns=documents.cns,
        passport=documents.passport,
        nationality=within("nationality", own_text(resource, "nationality"), "/extension"),
        phone=within("phone", own_text(resource, "phone") or _telecom(resource, "phone"), "/telecom"),
        email=within("email", own_text(resource, "email") or _telecom(resource, "email"), "/telecom"),
        address=within("address", own_text(resource, "address") or _address(resource), "/address/0"),
        deceased_at=deceased_at,
    )


def map_allergy(
    resource: Resource, place: Place, key: Key, patient: Key, zone: ZoneInfo, now: datetime
) -> ImportedAllergy:
    """A checked AllergyIntolerance. Raises EntryRefused with a pointer into the resource."""
    if has_code(resource.get("verificationStatus"), *NOT_MEANT):
        raise EntryRefused("is marked as an error or refuted at its source", "/verificationStatus")
    if has_code(resource.get("code"), *NO_ALLERGY):
        raise EntryRefused("states that there is no allergy", "/code")
    reactions = objects(resource.get("reaction"))
    words = [concept_text(item) or "" for reaction in reactions for item in objects(reaction.get("manifestation"))]
    grades = [str(reaction.get("severity")).upper() for reaction in reactions]
    grades.append(str(own_extension(resource, "severity").get("valueCode")))
    return ImportedAllergy(
        place=place,
        key=key,
        patient=patient,
        substance=required("substance", own_text(resource, "substance") or concept_text(resource.get("code")), "/code"),
        reaction=within("reaction", own_text(resource, "reaction") or joined(words), "/reaction"),
        severity=max((grade for grade in grades if grade in SEVERITIES), key=SEVERITIES.index, default=None),
        noted_at=_moment(resource, "onsetDateTime", zone, now) or _moment(resource, "recordedDate", zone, now),
    )


def _name(name: Resource) -> str | None:
    given: Any = name.get("given")
    parts = [*(given if isinstance(given, list) else []), name.get("family")]
    return " ".join(part for part in parts if text(part)) or text(name.get("text"))


def _social_name(resource: Resource, names: list[Resource]) -> str | None:
    """The name a person goes by. Elsewhere ``usual`` may be a nickname; in Brazil's own profile it is this."""
    if is_own(resource):
        return own_text(resource, "social-name")
    profiles = child(resource, "meta").get("profile")
    if isinstance(profiles, list) and any(isinstance(url, str) and RNDS_PERSON in url for url in profiles):
        return next((_name(name) for name in names if name.get("use") == "usual"), None)
    return None


def _mother(resource: Resource) -> str | None:
    if is_own(resource):
        return own_text(resource, "mother-name")
    for parent in objects(resource.get("extension")):
        if RNDS_PARENT in str(parent.get("url")):
            relationship = extension(parent, "relationship")
            if relationship.get("valueCode") == "mother" or has_code(
                relationship.get("valueCodeableConcept"), "mother", "MTH"
            ):
                return _name(child(extension(parent, "parent"), "valueHumanName"))
    return text(extension(resource, MOTHERS_NAME).get("valueString"))


def _telecom(resource: Resource, system: str) -> str | None:
    points = (text(point.get("value")) for point in objects(resource.get("telecom")) if point.get("system") == system)
    return next((point for point in points if point), None)


def _address(resource: Resource) -> str | None:
    """One line: street, city, state, postal code; the address's own text when it has no parts."""
    addresses = objects(resource.get("address"))
    if not addresses:
        return None
    first = addresses[0]
    street: Any = first.get("line")
    parts: list[Any] = street if isinstance(street, list) else []
    parts = [*parts, *(first.get(name) for name in ("city", "state", "postalCode"))]
    return ", ".join(part for part in parts if text(part)) or text(first.get("text"))


def _moment(resource: Resource, name: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    if name not in resource:
        return None
    try:
        return read_moment(resource[name], zone, now=now).at
    except TimeRefused as refused:
        raise EntryRefused(str(refused), f"/{name}") from None
