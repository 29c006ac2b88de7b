"""CID-10 codes for words that somebody looked for a moment ago, out of the cache.

What is found hangs on the table in force, the words, the patient's sex and death, and how many are wanted: all of it
is what is asked, so a new table finds nothing of the former one's, and nobody's patient is in it. What people look for
says what their patients have, so not even that can be read in the cache (``integrations/cache.py``).
"""

from __future__ import annotations

from dataclasses import asdict

import orjson
from sqlalchemy.orm import Session

from integrations.cache import Cache, Kind
from models.text import fold
from services.cid10_codes import release_in_force
from services.cid10_search import TEXT_MAX, Candidate, search
from services.cid10_warnings import Oddity

KEPT_SECONDS = 24 * 3600


def search_remembered(
    session: Session, cache: Cache, text: str, *, sex: str | None, is_deceased: bool, limit: int
) -> list[Candidate]:
    """As ``services.cid10_search.search``; nothing where no table is in force."""
    release = release_in_force(session)
    if release is None:
        return []
    asked = orjson.dumps([str(release.id), fold(text[:TEXT_MAX]), sex, is_deceased, limit]).decode()
    kept = cache.get(Kind.CID10, asked)
    if kept is not None:
        return [_candidate(each) for each in orjson.loads(kept)]
    found = search(session, text, sex=sex, is_deceased=is_deceased, limit=limit)
    cache.put(Kind.CID10, asked, orjson.dumps([asdict(each) for each in found]), KEPT_SECONDS)
    return found


def _candidate(kept: dict[str, object]) -> Candidate:
    odd = kept.pop("warnings")
    return Candidate(**kept, warnings=tuple(Oddity(each) for each in odd))  # type: ignore[arg-type,attr-defined]
