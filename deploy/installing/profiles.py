"""COMPOSE_PROFILES in .env: which colour `docker compose up` starts, beside what the clinic chose itself.

Compose takes it where no --profile is given, so a bare `up` brings up who serves and leaves the other colour as it is.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from installing.files import InstallError, replace

COLOURS = ("blue", "green")
NAME = re.compile(r"[\w.-]+")
# A line of .env as compose reads it: the value in quotes, or up to a comment.
LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?COMPOSE_PROFILES[ \t]*=[ \t]*(?:'(?P<single>[^'\n]*)'|"(?P<double>[^"\n]*)"|"""
    r"""(?P<bare>[^'"\s#][^\n]*?)?)(?:[ \t]+\#[^\n]*)?[ \t\r]*(?:\n|\Z)""",
    re.MULTILINE,
)


def colour_of(env: Path) -> str | None:
    """Which colour ``env`` names; None where it names none, or both."""
    with suppress(InstallError):
        named = [each for each in _profiles(_text(env)) if each in COLOURS]
        return named[0] if len(named) == 1 else None
    return None


def name_colour(env: Path, colour: str) -> bool:
    """Let ``env`` name ``colour`` and not the other; all else in it stays, and whose it is. False when it did already.
    Raises InstallError where it says what can't be kept, and OSError from the file system, having changed nothing."""
    if colour_of(env) == colour:
        return False
    env = env.resolve()
    text = _text(env)
    profiles = [colour, *(each for each in _profiles(text) if each not in COLOURS)]
    kept = LINE.sub("", text)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    before = env.stat() if env.exists() else None
    mode = 0o644 if before is None else before.st_mode & 0o777
    replace(env, f"{kept}COMPOSE_PROFILES='{','.join(profiles)}'\n", mode)
    if before is not None:
        with suppress(PermissionError):  # whoever runs this need not be root
            os.chown(env, before.st_uid, before.st_gid)
    return True


def _text(env: Path) -> str:
    return env.read_text(encoding="utf-8") if env.exists() else ""


def _profiles(text: str) -> list[str]:
    """The last line counts, as it does for compose."""
    found = list(LINE.finditer(text))
    if len(found) < len(re.findall(r"^[ \t]*(?:export[ \t]+)?COMPOSE_PROFILES[ \t]*=", text, re.MULTILINE)):
        raise InstallError("COMPOSE_PROFILES in .env is none that compose reads: write it as 'blue,ops'")
    if not found:
        return []
    value = found[-1]["single"] or found[-1]["double"] or found[-1]["bare"] or ""
    names = [each.strip() for each in value.split(",") if each.strip()]
    if not all(map(NAME.fullmatch, names)):
        raise InstallError(f"COMPOSE_PROFILES in .env is not only names: {value}. Write it as 'blue,ops'")
    return names
