"""The filters of ``/audit``, from an address or from the form of an export. Ids and words of ours, no names."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, tzinfo
from typing import Any
from urllib.parse import urlencode

from flask_babel import gettext

from models.audit import OUTCOMES
from services.audit_read import TrailFilters
from web.forms.reading import Form

IDS = {"entityId": "entity_id", "actorId": "actor_id", "patientId": "patient_id"}
WORDS = {"entityType": "entity_type", "action": "action"}
NAMES = ("from", "to", "action", "outcome", "actorId", "entityType", "entityId", "patientId")
WORD_MAX = 100


def read_filters(given: Mapping[str, str], zone: tzinfo) -> tuple[TrailFilters, Form[Any]]:
    """What to look for, and the form as it was filled in; ``form.errors`` names what can't be looked for.

    ``from`` and ``to`` are days of ``zone``, both included.
    """
    values = {name: given[name].strip() for name in NAMES if given.get(name, "").strip()}
    form: Form[Any] = Form(values=values)
    found: dict[str, Any] = {}
    for name, text in values.items():
        try:
            if name in IDS:
                found[IDS[name]] = uuid.UUID(text)
            elif name in WORDS:
                found[WORDS[name]] = _word(text)
            elif name == "outcome":
                found[name] = OUTCOMES[OUTCOMES.index(text)]
            else:
                is_end = name == "to"
                clock = time.max if is_end else time.min
                found["end" if is_end else "start"] = datetime.combine(date.fromisoformat(text), clock, zone)
        except ValueError:
            form.errors[name] = _what_is_wrong(name)
    return TrailFilters(**found), form


def address(values: Mapping[str, str], **instead: str | None) -> str:
    """``/audit`` narrowed as ``values`` say, with ``instead`` put in or, where None, taken out."""
    wanted = {name: value for name, value in {**values, **instead}.items() if value}
    return "/audit" + (f"?{urlencode(wanted)}" if wanted else "")


def _word(text: str) -> str:
    if len(text) > WORD_MAX or "\0" in text:
        raise ValueError(text)
    return text


def _what_is_wrong(name: str) -> str:
    if name in IDS:
        return str(gettext("This is no id. Copy one from an event, or look for the person by name."))
    if name in ("from", "to"):
        return str(gettext("A day that exists, such as 24/11/2026."))
    return str(gettext("Choose one of the list."))
