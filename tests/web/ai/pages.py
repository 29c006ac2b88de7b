"""What a page says."""

from __future__ import annotations

import re


def words(answer: object) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True)).split())  # type: ignore[attr-defined]
