"""CPF, CNS and passport in what other systems send: recognised by their systems, checked by their digits."""

from __future__ import annotations

import re
from typing import NamedTuple

from services.field_encryption import FieldCipher
from services.identifier_check import normalize
from services.import_fhir_elements import Resource, codings, objects
from services.import_rules import EntryRefused

# RNDS (Ministério da Saúde): NamingSystem/cpf and /cns; the OIDs are those of HL7 Brasil's registry.
CPF_SYSTEMS = re.compile(r"https?://[\w.-]*saude\.gov\.br/.*/cpf|urn:oid:2\.16\.840\.1\.113883\.13\.237", re.IGNORECASE)
CNS_SYSTEMS = re.compile(r"https?://[\w.-]*saude\.gov\.br/.*/cns|urn:oid:2\.16\.840\.1\.113883\.13\.236", re.IGNORECASE)
# TAX and HC mean CPF and CNS only in RNDS's own list; HL7's TAX is anybody's tax number.
BRAZILIAN_TYPES = re.compile(r"https?://[\w.-]*saude\.gov\.br/.*BRTipo(?:Documento|Identificador)", re.IGNORECASE)
HL7_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
NOT_VALID = {
    "cpf": "the CPF is not valid: its check digits do not fit",
    "cns": "the CNS is not valid: its check digits do not fit",
    "passport": "is no passport number: 5 to 20 letters and digits",
}


class Documents(NamedTuple):
    """A person's numbers, digits alone (the passport as it was written)."""

    cpf: str | None = None
    cns: str | None = None
    passport: str | None = None


def read_document(kind: str, value: object, pointer: str) -> str:
    """A CPF, CNS or passport in its one stored form. Raises EntryRefused, which never repeats the number."""
    number = normalize(kind, value) if isinstance(value, str) else None
    if number is None:
        raise EntryRefused(NOT_VALID[kind], pointer)
    return number


def is_document_number(value: str) -> bool:
    """Whether an id of another system is somebody's CPF or CNS, which must not lie about in the clear."""
    return any(normalize(kind, value) is not None for kind in ("cpf", "cns"))


def stored_ids(cipher: FieldCipher, value: str) -> list[str]:
    """What stands in place of such an id: its keyed index, under the current key first, then under former ones."""
    return [f"hmac-{index.hex()}" for index in cipher.blind_indexes("source id", value)]


def read_documents(patient: Resource) -> Documents:
    """The CPF, CNS and passport among ``Patient.identifier``; others (a foreign tax number) are left out.

    Raises EntryRefused for an invalid CPF or CNS, or for two different ones of a kind.
    """
    found: dict[str, str] = {}
    for number, identifier in enumerate(objects(patient.get("identifier"))):
        kind = _kind(identifier)
        if kind is None or identifier.get("use") == "old":
            continue
        pointer = f"/identifier/{number}/value"
        value = read_document(kind, identifier.get("value"), pointer)
        if found.setdefault(kind, value) != value:
            raise EntryRefused(f"there is a second, different {kind.upper()}", pointer)
    return Documents(**found)


def _kind(identifier: Resource) -> str | None:
    system = identifier.get("system")
    if isinstance(system, str):
        if CPF_SYSTEMS.fullmatch(system):
            return "cpf"
        if CNS_SYSTEMS.fullmatch(system):
            return "cns"
    for coding in codings(identifier.get("type")):
        listed, code = coding.get("system"), coding.get("code")
        if isinstance(listed, str) and BRAZILIAN_TYPES.match(listed) and code in ("TAX", "HC"):
            return "cpf" if code == "TAX" else "cns"
        if code == "PPN" and listed == HL7_TYPES:
            return "passport"
    return None
