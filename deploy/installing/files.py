"""Files that are there whole or not at all, and what is said when something is wrong."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path


class InstallError(Exception):
    """What is wrong, and what to do about it."""


def create(path: Path, text: str, mode: int) -> None:
    """All of it or nothing, and only where there is nothing yet. Raises FileExistsError."""
    part = _part(path, text, mode)
    try:
        os.link(part, path)
    finally:
        part.unlink()


def replace(path: Path, text: str, mode: int) -> None:
    """All of it or nothing, in the place of what is there."""
    _part(path, text, mode).replace(path)


def _part(path: Path, text: str, mode: int) -> Path:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    return part


def env_line(name: str) -> re.Pattern[str]:
    """A line of ``.env`` that says ``name`` (a pattern), as compose reads it: the value is in quotes, or goes up to a
    comment."""
    return re.compile(
        rf"""^[ \t]*(?:export[ \t]+)?(?P<name>{name})[ \t]*=[ \t]*(?:'(?P<single>[^'\n]*)'|"(?P<double>[^"\n]*)"|"""
        r"""(?P<bare>[^'"\s#][^\n]*?)?)(?:[ \t]+\#[^\n]*)?[ \t\r]*(?:\n|\Z)""",
        re.MULTILINE,
    )


def env_value(line: re.Match[str]) -> str:
    return line["single"] or line["double"] or line["bare"] or ""


def read_env(path: Path) -> dict[str, str]:
    """What compose's ``.env`` says, by name; of two lines the last."""
    if not path.exists():
        return {}
    return {line["name"]: env_value(line) for line in env_line(r"\w+").finditer(path.read_text(encoding="utf-8"))}


def rewrite_env(path: Path, text: str) -> None:
    """All of it or nothing, in the place of what is there, and where a link leads to; who may read it stays."""
    path = path.resolve()
    before = path.stat() if path.exists() else None
    replace(path, text, 0o644 if before is None else before.st_mode & 0o777)
    if before is not None:
        for owner, group in ((-1, before.st_gid), (before.st_uid, -1)):
            with suppress(PermissionError):  # whoever runs this need not be root
                os.chown(path, owner, group)
