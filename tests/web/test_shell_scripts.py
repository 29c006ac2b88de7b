"""What scripts of the shell promise in numbers; that they keep it is measured by ``make bench``."""

from __future__ import annotations

import re
from pathlib import Path

LIVE = Path(__file__).resolve().parent.parent.parent / "web" / "static" / "js" / "live.js"


def test_an_open_page_asks_once_a_second() -> None:
    """So that what one person writes is known to every other page within two (ADR 15)."""
    found = re.search(r"const EVERY_MS = (\d+);", LIVE.read_text(encoding="utf-8"))
    assert found is not None and int(found[1]) <= 1_000
