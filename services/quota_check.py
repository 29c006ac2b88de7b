"""Whether a quota is written as one: of users and of tokens alike."""

from __future__ import annotations

from config import RATE_SHAPE, parse_rate
from services.errors import FieldError, Invalid


def quota_errors(quota: str | None) -> list[FieldError]:
    """What is wrong with ``quota`` (``"60/minute"``, or None for none of one's own), at /quota."""
    if quota is None:
        return []
    try:
        parse_rate(quota)
    except ValueError:
        return [FieldError("/quota", RATE_SHAPE)]
    return []


def check_quota(quota: str | None) -> None:
    """Raises Invalid unless ``quota`` is written as one, or None."""
    if errors := quota_errors(quota):
        raise Invalid.at(errors[0].pointer, errors[0].message)
