"""COMPOSE_PROFILES in .env: which colour `docker compose up` starts, beside what the clinic chose itself.

Compose takes it where no --profile is given, so a bare `up` brings up who serves and leaves the other colour as it is.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from installing.files import InstallError, env_line, env_value, rewrite_env

from switching.serving import COLOURS

NAME = re.compile(r"[\w.-]+")
LINE = env_line("COMPOSE_PROFILES")
ANY_LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?COMPOSE_PROFILES[ \t]*[=:]", re.MULTILINE)


def colour_of(env: Path) -> str | None:
    """Which colour ``env`` names; None where it names none, or both."""
    with suppress(InstallError):
        named = [each for each in profiles_of(env) if each in COLOURS]
        return named[0] if len(named) == 1 else None
    return None


def name_colour(env: Path, colour: str) -> bool:
    """Let ``env`` name ``colour`` and not the other; its other lines stay, and whose it is. False when it did already.
    Raises InstallError where it says what can't be kept, and OSError from the file system, having changed nothing."""
    if colour_of(env) == colour:
        return False
    profiles = [colour, *(each for each in profiles_of(env) if each not in COLOURS)]
    kept = LINE.sub("", _text(env))
    if kept and not kept.endswith("\n"):
        kept += "\n"
    rewrite_env(env, f"{kept}COMPOSE_PROFILES='{','.join(profiles)}'\n")
    return True


def profiles_of(env: Path) -> list[str]:
    """Every profile that ``env`` names; the last line counts, as it does for compose. Raises InstallError where it is
    not only names."""
    text = _text(env)
    found = list(LINE.finditer(text))
    names = [each.strip() for each in env_value(found[-1]).split(",") if each.strip()] if found else []
    if len(found) < len(ANY_LINE.findall(text)) or not all(map(NAME.fullmatch, names)):
        raise InstallError(f"COMPOSE_PROFILES in {env} has to be names with commas between them and nothing else")
    return names


def _text(env: Path) -> str:
    return env.read_text(encoding="utf-8") if env.exists() else ""
