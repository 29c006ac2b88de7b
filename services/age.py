"""How old somebody is."""

from __future__ import annotations

from datetime import date


def age_on(birth: date, today: date) -> int:
    """Completed years."""
    return today.year - birth.year - ((today.month, today.day) < (birth.month, birth.day))
