"""Whether a resource is FHIR R4: the published models (fhir.resources, R4B), and what they leave open.

Only the types that Sigilo maps are checked; the rest is counted and left alone.
"""

from __future__ import annotations

from typing import Any

from fhir.resources.R4B.allergyintolerance import AllergyIntolerance
from fhir.resources.R4B.condition import Condition
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.medicationrequest import MedicationRequest
from fhir.resources.R4B.patient import Patient
from pydantic import ValidationError

from services.import_fhir_elements import ID, Resource, is_masked
from services.import_json import safe_key
from services.import_rules import EntryRefused

MODELS: dict[str, Any] = {
    model.__name__: model for model in (Patient, Encounter, Condition, MedicationRequest, AllergyIntolerance)
}
REASONS = {
    "extra_forbidden": "is no element of this resource",
    "missing": "is required",
    "string_type": "must be a string",
    "list_type": "must be an array",
    "string_pattern_mismatch": "has characters that FHIR does not allow there",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "bool_type": "must be true or false",
    "model_type": "must be an object",
}


def check_resource(resource: Resource) -> None:
    """Raises EntryRefused, with the pointer, unless ``resource`` (of a type in MODELS) is valid FHIR R4.

    A masked copy is refused, and so is a resource whose ``modifierExtension`` or ``implicitRules`` change
    what it means in a way unknown to us (FHIR R4, 2.1.0.14: such a resource must not be processed).
    """
    if is_masked(resource):
        raise EntryRefused("is a masked copy: somebody without access exported it, and parts are missing")
    identifier = resource.get("id")
    if identifier is not None and not (isinstance(identifier, str) and ID.fullmatch(identifier)):
        raise EntryRefused("is no FHIR id: 1 to 64 letters, digits, hyphens and dots", "/id")
    for name in ("modifierExtension", "implicitRules"):
        if resource.get(name):
            raise EntryRefused("changes the meaning of the resource in a way that is unknown here", f"/{name}")
    try:
        MODELS[resource["resourceType"]].model_validate(resource)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        reason = REASONS.get(first["type"], "is not valid in FHIR R4")
        raise EntryRefused(reason, "".join(f"/{safe_key(part)}" for part in first["loc"])) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        # Inside, contained resources are looked up by the names the file gives.
        raise EntryRefused("is not valid in FHIR R4") from None
