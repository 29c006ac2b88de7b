"""What every source is read into: neutral, frozen entries, each knowing the file and line it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple


class Place(NamedTuple):
    """Where an entry stood: file name, line (1 = first), and JSON pointer or column ("" = the whole entry)."""

    file: str
    line: int
    pointer: str = ""


class Key(NamedTuple):
    """An entry's identity at its source: ``source`` names the sending system, ``id`` is unique within it.

    Both stay with the row, so that a second import of the same source recognises what it brought.
    """

    source: str
    id: str


@dataclass(frozen=True, slots=True)
class Reject:
    """An entry that was refused. ``reason`` says why in words of ours and never repeats the entry's values."""

    file: str
    line: int
    pointer: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportedPatient:
    """A person as the source states them. ``cpf``, ``cns`` hold digits alone, with valid check digits."""

    place: Place
    key: Key
    full_name: str
    sex: str  # one of models.patient.SEXES
    birth_date: date | None = None
    birth_date_estimated: bool = False
    social_name: str | None = None
    mother_name: str | None = None
    cpf: str | None = None
    cns: str | None = None
    passport: str | None = None
    nationality: str | None = None
    phone: str | None = None
    email: str | None = None
    address: str | None = None
    deceased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ImportedRecord:
    """One clinical entry: one Encounter with the diagnoses and prescriptions that point to it."""

    place: Place
    key: Key
    patient: Key
    occurred_at: datetime
    title: str
    kind: str  # one of models.record.KINDS
    priority: str  # one of models.record.PRIORITIES
    diagnosis: str | None = None
    treatment: str | None = None
    notes: str | None = None
    cid10_codes: tuple[str, ...] = ()
    restricted: bool | None = None  # None: the CID-10 codes decide
    amends: Key | None = None
    # The diagnosis and treatment came from other entries of the same import (conditions, prescriptions), so
    # their absence may only mean that those files were not given this time.
    is_assembled: bool = False


@dataclass(frozen=True, slots=True)
class ImportedAllergy:
    """Something the patient must not be given."""

    place: Place
    key: Key
    patient: Key
    substance: str
    reaction: str | None = None
    severity: str | None = None  # one of models.patient.SEVERITIES
    noted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A diagnosis or a prescribed treatment that belongs to an encounter, in its own words."""

    place: Place
    key: Key
    encounter: Key
    patient: Key
    is_diagnosis: bool
    text: str
    cid10_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedEncounter:
    """An Encounter before its findings are known. ``reason`` is its diagnosis when no Condition points to it.

    ``kind`` and ``priority`` are None unless the source states them (our own exports do).
    """

    place: Place
    key: Key
    patient: Key
    occurred_at: datetime
    title: str
    encounter_class: str  # HL7 v3 ActCode: AMB, EMER, IMP, ACUTE, HH, VR
    reason: str | None = None
    kind: str | None = None
    priority: str | None = None
    treatment: str | None = None
    notes: str | None = None
    restricted: bool | None = None
    amends: Key | None = None


Entry = ImportedPatient | ImportedEncounter | ImportedRecord | ImportedAllergy | Finding


@dataclass(frozen=True, slots=True)
class Ignored:
    """An entry of a type Sigilo has no place for, such as an Observation: counted, not refused."""

    type: str
