"""A record's fields as the text that a form's inputs show and send back.

An input changes what it is given: line breaks become one kind, a time loses its seconds. What was not touched must
not count as a change, so both sides are compared as an input would send them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.record_fields import CONTENT

BETWEEN_CODES = re.compile(r"[\s,;]+")
BREAKS = re.compile(r"\r\n|\r")


def typed(content: Mapping[str, Any], zone: ZoneInfo) -> dict[str, str]:
    """API name → text of the fields in ``content`` (a representation's JSON types); a masked one is empty."""
    return {name: input_text(name, content[name], zone) for name in CONTENT if name in content}


def input_text(name: str, value: Any, zone: ZoneInfo) -> str:
    if value is None:
        return ""
    if name == "cid10Codes":
        return ", ".join(value)
    if name == "occurredAt":
        return datetime.fromisoformat(value).astimezone(zone).strftime("%Y-%m-%dT%H:%M")
    if isinstance(value, bool):
        return "true" if value else "false"
    text = BREAKS.sub("\n", str(value))
    return text.replace("\n", "") if name == "title" else text


def touched(values: Mapping[str, str], shown: Mapping[str, str]) -> dict[str, str]:
    """Those of ``values`` (as typed) that differ from what the inputs had ``shown``."""
    return {
        name: text
        for name, text in values.items()
        if name in CONTENT and _plain(name, text) != _plain(name, shown.get(name, ""))
    }


def _plain(name: str, text: str) -> Any:
    if name == "cid10Codes":
        return [code for code in BETWEEN_CODES.split(text) if code]
    return BREAKS.sub("\n", text)
