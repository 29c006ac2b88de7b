"""COMPOSE_PROFILES in .env: which colour `docker compose up` starts, beside what the clinic chose itself.

Compose takes it where no --profile is given, so a bare `up` brings up who serves and leaves the other colour as it is.
"""

from __future__ import annotations

import re
from pathlib import Path

from installing.files import read_env, replace

COLOURS = ("blue", "green")
LINE = re.compile(r"^[ \t]*COMPOSE_PROFILES[ \t]*=.*\n?", re.MULTILINE)


def colour_of(env: Path) -> str | None:
    """Which colour ``env`` names; None where it names none, or both."""
    named = [each for each in _profiles(env) if each in COLOURS]
    return named[0] if len(named) == 1 else None


def name_colour(env: Path, colour: str) -> bool:
    """Let ``env`` name ``colour`` and not the other; all else in it stays. False when it did already."""
    if colour_of(env) == colour:
        return False
    profiles = [colour, *(each for each in _profiles(env) if each not in COLOURS)]
    text = LINE.sub("", env.read_text() if env.exists() else "").rstrip("\n")
    replace(env, f"{text}\n".lstrip("\n") + f"COMPOSE_PROFILES='{','.join(profiles)}'\n", 0o644)
    return True


def _profiles(env: Path) -> list[str]:
    return [each for name in read_env(env).get("COMPOSE_PROFILES", "").split(",") if (each := name.strip())]
