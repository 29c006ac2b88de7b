"""CPF, CNS and passport in what other systems send: recognised by their systems, checked by their digits."""

from __future__ import annotations

import re
from typing import NamedTuple

from validate_docbr import CNS, CPF

from services.import_fhir_elements import Resource, codings, objects, text
from services.import_rules import EntryRefused, within

# RNDS (Ministério da Saúde): NamingSystem/cpf and /cns; the OIDs are those of HL7 Brasil's registry.
CPF_SYSTEMS = re.compile(r"https?://[\w.-]*saude\.gov\.br/.*/cpf|urn:oid:2\.16\.840\.1\.113883\.13\.237", re.IGNORECASE)
CNS_SYSTEMS = re.compile(r"https?://[\w.-]*saude\.gov\.br/.*/cns|urn:oid:2\.16\.840\.1\.113883\.13\.236", re.IGNORECASE)
# TAX and HC mean CPF and CNS only in RNDS's own list; HL7's TAX is anybody's tax number.
BRAZILIAN_TYPES = re.compile(r"https?://[\w.-]*saude\.gov\.br/.*BRTipo(?:Documento|Identificador)", re.IGNORECASE)
HL7_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
SEPARATORS = re.compile(r"[\s./-]+")
MAYBE_DOCUMENT = re.compile(r"\d{11}|\d{15}", re.ASCII)


class Documents(NamedTuple):
    """A person's numbers, digits alone (the passport as it was written)."""

    cpf: str | None = None
    cns: str | None = None
    passport: str | None = None


def read_cpf(value: object, pointer: str) -> str:
    """Eleven digits with valid check digits. Raises EntryRefused, which never repeats the number."""
    digits = SEPARATORS.sub("", value) if isinstance(value, str) else ""
    if not digits.isascii() or not digits.isdigit() or len(digits) != 11 or not CPF().validate(digits):
        raise EntryRefused("the CPF is not valid: its check digits do not fit", pointer)
    return digits


def read_cns(value: object, pointer: str) -> str:
    """Fifteen digits with a valid check sum. Raises EntryRefused, which never repeats the number."""
    digits = SEPARATORS.sub("", value) if isinstance(value, str) else ""
    if not digits.isascii() or not digits.isdigit() or len(digits) != 15 or not CNS().validate(digits):
        raise EntryRefused("the CNS is not valid: its check digits do not fit", pointer)
    return digits


def is_document_number(value: str) -> bool:
    """Whether an id of another system is somebody's CPF or CNS, which must not lie about in the clear."""
    digits = SEPARATORS.sub("", value)
    if not MAYBE_DOCUMENT.fullmatch(digits):
        return False
    return bool(CPF().validate(digits) if len(digits) == 11 else CNS().validate(digits))


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
        if kind == "cpf":
            value = read_cpf(identifier.get("value"), pointer)
        elif kind == "cns":
            value = read_cns(identifier.get("value"), pointer)
        else:
            passport = within("passport", text(identifier.get("value")), pointer)
            if passport is None:
                continue
            value = passport
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
