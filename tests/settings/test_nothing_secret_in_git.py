"""No file of the repository holds what opens something: private keys, tokens, passwords of somebody's server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
# Made by running things, and left out by .gitignore.
MADE = {".venv", ".git", "var", "build", "__pycache__", "htmlcov"}
SHAPES = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"
    rb"|AGE-SECRET-KEY-1[0-9A-Z]{50}"
    rb"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    rb"|\bgh[pousr]_[A-Za-z0-9]{36}"
    rb"|\bglpat-[A-Za-z0-9_-]{20}"
    rb"|\bhvs\.[A-Za-z0-9_-]{24}"
    rb"|\bAIza[0-9A-Za-z_-]{35}"
    rb"|\bxox[abprs]-[0-9A-Za-z-]{20}"
    rb"|\bsgl_[A-Za-z0-9_-]{40}"
)


def files() -> Iterator[Path]:
    for folder, folders, names in os.walk(TOP):
        folders[:] = [name for name in folders if name not in MADE and not name.endswith((".egg-info", "_cache"))]
        yield from (Path(folder) / name for name in names)


def test_no_file_of_the_repository_holds_a_secret() -> None:
    looked = [path for path in files() if path.is_file()]
    assert len(looked) > 500
    assert [str(path.relative_to(TOP)) for path in looked if SHAPES.search(path.read_bytes())] == []


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\n" + "MC4CAQAwBQYDK2Vw" * 4,
        "AGE-SECRET-KEY-" + "1" + "Q" * 58,
        "AKIA" + "ABCDEFGH12345678",
        "ghp_" + "a1B2" * 9,
        "sgl_" + "x" * 43,
    ],
)
def test_what_it_looks_for_is_found(text: str) -> None:
    assert SHAPES.search(text.encode())
