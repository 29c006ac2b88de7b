"""Durations and sizes on screen, as the page's language writes them."""

from __future__ import annotations

from flask import Flask
from flask_babel import gettext

from web.clock import decimal

MINUTE = 60
UNITS = ("B", "kB", "MB", "GB", "TB")
STEP = 1000  # as disks and buckets are sold


def register_measures(app: Flask) -> None:
    app.jinja_env.filters.update(duration=duration, size=size)


def duration(seconds: float) -> str:
    """``0,4 s`` in Portuguese, and minutes from one on."""
    if seconds < MINUTE:
        return f"{decimal(seconds, 1)} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    return str(gettext("%(minutes)s min %(seconds)s s", minutes=minutes, seconds=rest))


def size(count: int) -> str:
    """Bytes as people read them: ``1,5 GB`` in Portuguese."""
    value, unit = float(count), UNITS[0]
    for unit in UNITS:
        if value < STEP or unit == UNITS[-1]:
            break
        value /= STEP
    return f"{decimal(value, 0 if unit in UNITS[:2] else 1)} {unit}"
