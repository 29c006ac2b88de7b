"""Small readings of FHIR R4 elements, distrustful of every type: what comes in is parsed JSON, nothing more."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from services.import_json import JsonRefused, refuse_unstorable, safe_key
from services.import_rules import PLACEHOLDER, EntryRefused

Resource = dict[str, Any]

ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")
# What Sigilo's own exports add where R4 has no element.
OWN = "https://sigilo.invalid/fhir"
OWN_TAG = f"{OWN}/tag"
EXPORT_TAG = "export"
MASKED_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
MASKED = "MASKED"
CID10_SYSTEMS = frozenset(
    {
        "http://hl7.org/fhir/sid/icd-10",
        "http://www.saude.gov.br/fhir/r4/CodeSystem/BRCID10",
        "http://rnds.saude.gov.br/fhir/r4/CodeSystem/BRCID10",
        "urn:oid:2.16.840.1.113883.6.3",
    }
)


def objects(value: object) -> list[Resource]:
    """The objects of a repeating element; [] when it is absent."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def child(value: object, name: str) -> Resource:
    """A child element that is an object; {} when it is absent."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def text(value: object) -> str | None:
    """A string that says something; None otherwise."""
    return value if isinstance(value, str) and value.strip() else None


def codings(concept: object) -> list[Resource]:
    """The codings of a CodeableConcept."""
    return objects(concept.get("coding")) if isinstance(concept, dict) else []


def concept_text(concept: object) -> str | None:
    """A CodeableConcept in words: its text, else its first coding's display."""
    if not isinstance(concept, dict):
        return None
    displays = (text(coding.get("display")) for coding in codings(concept))
    return text(concept.get("text")) or next((display for display in displays if display), None)


def has_code(concept: object, *codes: str) -> bool:
    return any(coding.get("code") in codes for coding in codings(concept))


def cid10_of(concept: object) -> list[str]:
    """The CID-10 codes of a CodeableConcept, as written."""
    return [
        coding["code"]
        for coding in codings(concept)
        if coding.get("system") in CID10_SYSTEMS and isinstance(coding.get("code"), str)
    ]


def is_own(resource: Resource) -> bool:
    """Whether a Sigilo export wrote this resource."""
    tags = objects(child(resource, "meta").get("tag"))
    return any(tag.get("system") == OWN_TAG and tag.get("code") == EXPORT_TAG for tag in tags)


def is_masked(resource: Resource) -> bool:
    """Whether its sender left something out because the reader may not see it (HL7 security label MASKED)."""
    labels = objects(child(resource, "meta").get("security"))
    return any(label.get("system") == MASKED_SYSTEM and label.get("code") == MASKED for label in labels)


def own_extension(element: object, name: str) -> Resource:
    """Our extension ``name`` of an element; {} when it has none."""
    return extension(element, f"{OWN}/{name}")


def extension(element: object, url: str) -> Resource:
    """The first extension with this url; {} when there is none."""
    found = objects(element.get("extension")) if isinstance(element, dict) else []
    return next((item for item in found if item.get("url") == url), {})


def own_text(element: object, name: str) -> str | None:
    """A text in an extension of ours: plain, or in base64 when it has characters that FHIR's string forbids."""
    item = own_extension(element, name)
    if isinstance(packed := item.get("valueBase64Binary"), str):
        try:
            unpacked = base64.b64decode(packed, validate=True).decode("utf-8")
            refuse_unstorable(unpacked)
        except (binascii.Error, UnicodeDecodeError, JsonRefused):
            raise EntryRefused("is no text in base64", f"/extension/{name}") from None
        return unpacked
    value = item.get("valueString")
    return value if isinstance(value, str) else None


def refuse_placeholders(resource: object) -> None:
    """Raises EntryRefused, with the pointer, for a value such as ``{{individuo-cns}}``: a template's gap."""
    for pointer, value in _texts(resource):
        if PLACEHOLDER.fullmatch(value):
            raise EntryRefused("is a placeholder of a template, not data", pointer)


def _texts(value: object) -> Iterator[tuple[str, str]]:
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        pointer, item = stack.pop()
        if isinstance(item, str):
            yield pointer, item
        elif isinstance(item, dict):
            stack.extend((f"{pointer}/{safe_key(key)}", nested) for key, nested in reversed(item.items()))
        elif isinstance(item, list):
            stack.extend((f"{pointer}/{number}", nested) for number, nested in reversed(list(enumerate(item))))
