"""How often the search for CID-10 codes has the right one among its first: texts of our own, on the demo's codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson
from sqlalchemy.orm import Session

from services.cid10_search import search

CASES = Path(__file__).parent / "data" / "cid10_evaluation.json"


@dataclass(frozen=True, slots=True)
class Recall:
    """``places``: text → where the expected code stood (1 is first), None when it was not among the first ``k``."""

    k: int
    places: dict[str, int | None]

    @property
    def value(self) -> float:
        """The share of texts whose code was found, from 0 to 1."""
        return sum(place is not None for place in self.places.values()) / len(self.places)

    @property
    def reciprocal_rank(self) -> float:
        """The mean of 1/place, 0 for what was not found: 1 when every code came first."""
        return sum(1 / place for place in self.places.values() if place is not None) / len(self.places)

    @property
    def missed(self) -> list[str]:
        return [text for text, place in self.places.items() if place is None]

    def __str__(self) -> str:
        return f"recall@{self.k} {self.value:.3f}, reciprocal rank {self.reciprocal_rank:.3f}, {len(self.places)} texts"


@cache
def cases() -> tuple[tuple[str, str], ...]:
    """(text, expected code) of the shipped set, read once."""
    return tuple((case["text"], case["code"]) for case in orjson.loads(CASES.read_bytes()))


def recall(session: Session, *, k: int = 5) -> Recall:
    """Over the shipped set, with the table in force. One that a clinic brought has more codes to confuse them with."""
    places: dict[str, int | None] = {}
    for text, code in cases():
        found = [candidate.code for candidate in search(session, text, limit=k)]
        places[text] = found.index(code) + 1 if code in found else None
    return Recall(k, places)
