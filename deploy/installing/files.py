"""Files that are there whole or not at all, and what is said when something is wrong."""

from __future__ import annotations

import os
import secrets
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


def read_env(path: Path) -> dict[str, str]:
    """What compose's ``.env`` says."""
    if not path.exists():
        return {}
    lines = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#")
    return {name.strip(): value.strip().strip("'\"") for name, value in lines}
