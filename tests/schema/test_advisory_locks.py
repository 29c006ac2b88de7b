"""What one process does at a time has a number of its own."""

from __future__ import annotations

import re
from pathlib import Path

from models import advisory_locks

ROOT = Path(__file__).parents[2]
PACKAGES = ("backups", "embedded", "integrations", "migrations", "models", "services", "tasks", "web")


def test_no_two_things_share_a_lock() -> None:
    numbers = [value for value in vars(advisory_locks).values() if isinstance(value, int)]
    assert len(numbers) > 5 and len(set(numbers)) == len(numbers)


def test_every_number_stands_in_the_one_list() -> None:
    stray = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\b7_?164_?\d{3}\b", path.read_text(encoding="utf-8"))
    ]
    assert stray == ["models/advisory_locks.py"]


def test_what_is_locked_as_one_thing_has_no_name_made_up_elsewhere() -> None:
    stray = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"advisory\w*lock\w*\(\s*hashtext\w*\(\s*'", path.read_text(encoding="utf-8"))
    ]
    assert stray == []
