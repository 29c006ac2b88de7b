"""Sigilo's own rules for what foreign sources do not say: a record's kind and priority, names, placeholders."""

from __future__ import annotations

import re
import uuid
from datetime import date, datetime

from models.patient import ADDRESS_MAX, NAME_MAX
from models.record import CID10_MAX, CLINICAL_TEXT_MAX, TITLE_MAX
from services.restriction import CID10

KEY_MAX = 200  # characters of a source's name or of an id within it
SUBSTANCE_MAX = 300
REACTION_MAX = 1_000
CHECK_UP = re.compile(r"check.?up|wellness|exam")
FOLLOW_UP = re.compile(r"follow.?up|retorno")
# "(procedure)" at the end is SNOMED's kind of concept, not part of what was done.
PROCEDURE = re.compile(r"procedure(?!\))|vaccin|procedimento")
PLACEHOLDER = re.compile(r"\{\{[\w.\- ]{1,100}\}\}")
MAXIMA = {
    "full_name": NAME_MAX,
    "social_name": NAME_MAX,
    "mother_name": NAME_MAX,
    "nationality": 100,
    "phone": 50,
    "email": 254,
    "address": ADDRESS_MAX,
    "title": TITLE_MAX,
    "diagnosis": CLINICAL_TEXT_MAX,
    "treatment": CLINICAL_TEXT_MAX,
    "notes": CLINICAL_TEXT_MAX,
    "substance": SUBSTANCE_MAX,
    "reaction": REACTION_MAX,
}


class EntryRefused(ValueError):
    """One entry cannot be taken. ``pointer`` is relative to the entry; the text never repeats its values."""

    def __init__(self, reason: str, pointer: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer


def priority_of(encounter_class: str, title: str, diagnosis: str | None) -> str:
    """The priority of a record whose source has none: the rule the sample data was mapped with."""
    if encounter_class == "EMER":
        return "CRITICAL"
    if encounter_class in ("IMP", "ACUTE"):
        return "HIGH"
    if not diagnosis or CHECK_UP.search(title.lower()):
        return "LOW"
    return "NORMAL"


def kind_of(encounter_class: str, title: str) -> str:
    """The kind of a record whose source has none."""
    words = title.lower()
    if encounter_class == "EMER":
        return "EMERGENCY"
    if encounter_class in ("IMP", "ACUTE", "NONAC", "OBSENC", "SS"):
        return "OTHER"
    if FOLLOW_UP.search(words):
        return "RETURN"
    if PROCEDURE.search(words) and not CHECK_UP.search(words) and "encounter procedure" not in words:
        return "PROCEDURE"
    return "OTHER" if "death" in words else "CONSULTATION"


def within(name: str, value: str | None, pointer: str = "") -> str | None:
    """``value``, or None when it is blank. Raises EntryRefused when it is longer than ``name`` may be.

    Nothing is ever cut: half a name is another patient, half an instruction another treatment.
    """
    if value is None or not value.strip():
        return None
    maximum = MAXIMA[name]
    if len(value) > maximum:
        raise EntryRefused(f"{name} is longer than {maximum} characters", pointer)
    return value


def required(name: str, value: str | None, pointer: str = "") -> str:
    """``value`` within its length. Raises EntryRefused when it is blank or too long."""
    text = within(name, value, pointer)
    if text is None:
        raise EntryRefused(f"{name} is missing", pointer)
    return text


def check_life(birth_date: date | None, deceased_at: datetime | None, pointer: str) -> None:
    """Raises EntryRefused when somebody died before they were born."""
    if birth_date is not None and deceased_at is not None and deceased_at.date() < birth_date:
        raise EntryRefused("is before the birth date", pointer)


def joined(texts: list[str]) -> str | None:
    """Several statements as one text, in the order the source gives them; what is said twice stands once."""
    return "; ".join(dict.fromkeys(text for text in texts if text.strip())) or None


def checked_key(value: object, pointer: str) -> str:
    """A source's name or an id within it. Raises EntryRefused when it is missing, too long or unprintable."""
    if not isinstance(value, str) or not value or len(value) > KEY_MAX or not value.isprintable():
        raise EntryRefused(f"is no usable id: 1 to {KEY_MAX} printable characters", pointer)
    if PLACEHOLDER.fullmatch(value):
        raise EntryRefused("is a placeholder of a template, not data", pointer)
    return value


def checked_cid10(codes: list[str], pointer: str) -> tuple[str, ...]:
    """CID-10 codes as the source writes them. Raises EntryRefused for what is none, or too many."""
    if not all(CID10.fullmatch(code) for code in codes):
        raise EntryRefused("is no CID-10 code", pointer)
    if len(codes) > CID10_MAX:
        raise EntryRefused(f"has more than {CID10_MAX} CID-10 codes", pointer)
    return tuple(codes)


def is_uuid(value: str) -> bool:
    """Whether an id is a UUID, and so means one thing everywhere, whichever system sends it."""
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False
