"""Page cursors: the sort key of the last row shown, bound to the filters it was made under.

Keyset pages neither skip nor repeat while rows are inserted. A cursor carries nothing the page did not show.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from services.errors import Invalid

BAD_CURSOR = "This cursor is not from this list. Start again without it."
MAX_LENGTH = 500


def encode(filters: Mapping[str, Any], *key: Any) -> str:
    """Opaque text for the row with sort ``key``, usable under the same ``filters`` only."""
    return base64.urlsafe_b64encode(orjson.dumps([_digest(filters), *key])).decode().rstrip("=")


def decode(filters: Mapping[str, Any], text: str, *types: type) -> tuple[Any, ...]:
    """The sort key in ``text``, as ``types`` (uuid.UUID, datetime, float, str, int). Raises Invalid."""
    try:
        if len(text) > MAX_LENGTH or not text.isascii():
            raise ValueError
        values = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(types) + 1 or values[0] != _digest(filters):
            raise ValueError
        return tuple(_read(kind, value) for kind, value in zip(types, values[1:], strict=True))
    except (ValueError, binascii.Error):
        raise Invalid.at("/cursor", BAD_CURSOR) from None


def _read(kind: type, value: Any) -> Any:
    if kind is uuid.UUID and isinstance(value, str):
        return uuid.UUID(value)
    if kind is datetime and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return moment
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (str, int) and isinstance(value, kind) and not isinstance(value, bool):
        if isinstance(value, str) and "\0" in value:
            raise ValueError
        return value
    raise ValueError


def _digest(filters: Mapping[str, Any]) -> str:
    """Eight characters that differ when the filters do."""
    plain = {name: str(value) for name, value in filters.items() if value is not None}
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
