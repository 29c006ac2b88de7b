"""If-Match: which version the caller means to change."""

from __future__ import annotations

import re

from flask import request

from services.errors import Invalid, PreconditionRequired
from services.record_update import NAME_THE_VERSION

# A masked view's tag names the same version: "3-1f2e3d4c" is version 3.
ENTITY_TAG = re.compile(r'^"(\d{1,9})(?:-[0-9a-f]{8})?"$')


def named_version(in_body: int | None) -> int | None:
    """The version in If-Match, or in the body; None when neither names one.

    Raises Invalid when both do and differ, PreconditionRequired for an If-Match that names no version (a weak
    tag, a list or ``*``, which would overwrite whatever is there).
    """
    header = request.headers.get("If-Match")
    if header is None:
        return in_body
    match = ENTITY_TAG.match(header.strip())
    if match is None:
        raise PreconditionRequired(NAME_THE_VERSION)
    version = int(match[1])
    if in_body is not None and in_body != version:
        raise Invalid.at("/version", "the version that If-Match names, or left out")
    return version
