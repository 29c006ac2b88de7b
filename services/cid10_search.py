"""Find CID-10 codes for what a doctor types: a code or its beginning, a diagnosis, an everyday word, an abbreviation.

The table's own full-text search finds; what is found is ranked by the words it shares with the text, each worth the
more the fewer titles have it, and by how much of the title they are. A code that says no more than was typed comes
before those that say something else besides: of a category's codes the unspecified one, and codes before the category
that only gathers them. Everyday words and abbreviations become words of the table first (data/cid10_synonyms.json).
No patient is read here, and the text goes nowhere but into the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from models.text import fold
from services.cid10_codes import canonical
from services.cid10_warnings import Oddity, oddities

SYNONYMS = Path(__file__).parent / "data" / "cid10_synonyms.json"
WORD = re.compile(r"[a-z0-9]+")
CODE = re.compile(r"(?<![a-z0-9])[a-z]\d{2}(?:\.?[0-9x])?(?![a-z0-9])")
BEGINNING = re.compile(r"[a-z]\d{1,2}\.?\d?|[a-z]\d{2}x")
TEXT_MAX = 1000  # characters that are looked at
WORDS_MAX = 40
# Stop words of the dictionary, which knows them with their accents only.
SAYS_NOTHING = frozenset({"nao", "ha", "ate", "so", "ja", "esta", "sao", "sera", "tambem"})
PREFIX_LETTERS = 4  # from which on a word may also be the beginning of one; of the word being typed, 2

WHOLE, BEGUN, MEANT = 1.0, 0.5, 0.9  # what a word counts that is typed, that begins one, that a synonym stands for
PART_OF_A_PHRASE = 0.3  # "alta" of "pressão alta"
GATHERS, MANIFESTATION, OTHER_SEX, UNSPECIFIED = 0.85, 0.9, 0.5, 1.1
NAMED = 2.0  # a code that stands in the text
WORTH_SHOWING = 0.25  # of the best one's score

FIND = text("""
    WITH word AS (
        SELECT * FROM unnest(CAST(:words AS text[]), CAST(:weights AS float8[]), CAST(:begun AS float8[]))
            WITH ORDINALITY AS w(word, weight, begun, number)
    ), asked AS MATERIALIZED (
        SELECT number, weight, to_tsquery('portuguese', word) AS query FROM word
        UNION ALL
        SELECT number, begun, to_tsquery('simple', word || ':*') FROM word WHERE begun > 0
    ), hit AS MATERIALIZED (
        SELECT c.code, a.number, max(a.weight) AS weight
        FROM asked a JOIN cid10_codes c ON c.search @@ a.query GROUP BY c.code, a.number
    ), rare AS (
        SELECT h.number, ln(1 + n.codes / count(*)) AS value
        FROM hit h, (SELECT count(*)::float8 AS codes FROM cid10_codes) n GROUP BY h.number, n.codes
    ), ranked AS (
        SELECT h.code, sum(h.weight * r.value) AS value, count(*)::float8 AS words
        FROM hit h JOIN rare r USING (number) GROUP BY h.code
    ), named AS (
        SELECT code FROM cid10_codes WHERE code = ANY(CAST(:codes AS text[]))
    ), scored AS (
        SELECT c.code, c.description, c.category, c.sex, c.causes_death,
            (CASE WHEN n.code IS NULL THEN 0 ELSE :named END + coalesce(
                k.value / (SELECT greatest(sum(r.value * w.weight), 0.001) FROM rare r JOIN word w USING (number))
                * (0.5 + 0.5 * least(k.words / greatest(length(c.search), 1), 1)), 0
            ))
            * CASE WHEN c.is_subdivided THEN :gathers ELSE 1 END
            * CASE WHEN c.classification = '*' THEN :manifestation ELSE 1 END
            * CASE WHEN c.sex <> :sex THEN :other_sex ELSE 1 END
            * CASE WHEN c.code LIKE '%.9' THEN :unspecified ELSE 1 END AS score
        FROM ranked k FULL JOIN named n USING (code) JOIN cid10_codes c USING (code)
    )
    SELECT s.code, s.description, coalesce(p.description, s.category) AS category, s.sex, s.causes_death, s.score
    FROM scored s LEFT JOIN cid10_codes p ON p.code = s.category ORDER BY s.score DESC, s.code LIMIT :limit
""")
BEGINS = text("""
    SELECT c.code, c.description, coalesce(p.description, c.category) AS category, c.sex, c.causes_death,
        CAST(CASE WHEN c.code = :start THEN 1 ELSE 0.9 END AS float8) AS score
    FROM cid10_codes c LEFT JOIN cid10_codes p ON p.code = c.category
    WHERE c.code LIKE :start || '%' ORDER BY c.code LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A code that may be meant. ``category``: the title of what it belongs to; ``score``: 1 is all that was typed and
    nothing else, and only the order of one answer's scores means anything."""

    code: str
    title: str
    category: str
    score: float
    warnings: tuple[Oddity, ...]


def search(
    session: Session, text: str, *, sex: str | None = None, is_deceased: bool = False, limit: int = 20
) -> list[Candidate]:
    """Codes for ``text``, best first; none where no table is in force. ``sex``: as patients have it, None when it is
    nobody's: codes of the other sex come later and carry a warning."""
    typed = fold(text[:TEXT_MAX])
    rows: list[RowMapping] = []
    if BEGINNING.fullmatch(typed.strip()):
        start = canonical(typed).upper().strip()
        rows = list(session.execute(BEGINS, {"start": start, "limit": limit}).mappings().all())
    rows = rows or _by_words(session, typed, sex, limit)
    floor = rows[0]["score"] * WORTH_SHOWING if rows else 0
    return [_candidate(row, sex, is_deceased) for row in rows if row["score"] >= floor]


def _by_words(session: Session, typed: str, sex: str | None, limit: int) -> list[RowMapping]:
    weights = dict(list(_weighted(typed).items())[:WORDS_MAX])
    codes = [canonical(code) for code in CODE.findall(typed)]
    last = None if typed.endswith(" ") else (WORD.findall(typed) or [None])[-1]
    begun = [
        weight * BEGUN if len(word) >= (2 if word == last else PREFIX_LETTERS) else 0.0
        for word, weight in weights.items()
    ]
    parameters = {
        "words": list(weights), "weights": list(weights.values()), "begun": begun, "codes": codes,
        "sex": sex if sex in ("FEMALE", "MALE") else None, "limit": limit, "named": NAMED, "gathers": GATHERS,
        "manifestation": MANIFESTATION, "other_sex": OTHER_SEX, "unspecified": UNSPECIFIED,
    }  # fmt: skip
    return list(session.execute(FIND, parameters).mappings().all())


def _candidate(row: RowMapping, sex: str | None, is_deceased: bool) -> Candidate:
    odd = oddities(sex, is_deceased, code_sex=row["sex"], causes_death=row["causes_death"])
    return Candidate(row["code"], row["description"], row["category"], round(float(row["score"]), 4), odd)


def _weighted(typed: str) -> dict[str, float]:
    """Word → what it counts, those typed first; a word that is both typed and meant counts as what is more."""
    words = WORD.findall(typed)
    weights = dict.fromkeys((word for word in words if word not in SAYS_NOTHING), WHOLE)
    meant = list(_meant(words))
    for first, behind, _ in meant:
        if behind - first > 1:
            weights |= {word: PART_OF_A_PHRASE for word in words[first:behind] if word in weights}
    for word in (word for _, _, meaning in meant for word in meaning):
        weights[word] = max(weights.get(word, 0.0), MEANT)
    return weights


def _meant(words: list[str]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Synonyms in ``words`` as (first, behind the last, what is meant), the longest at each place, none overlapping."""
    known = synonyms()
    longest = max(map(len, known))
    at = 0
    while at < len(words):
        for end in range(min(at + longest, len(words)), at, -1):
            meaning = known.get(tuple(words[at:end]))
            if meaning is not None:
                yield at, end, meaning
                at = end
                break
        else:
            at += 1


@cache
def synonyms() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Words of a text → words of the table, both folded; read once."""
    table = orjson.loads(SYNONYMS.read_bytes())
    return {tuple(WORD.findall(fold(said))): tuple(WORD.findall(fold(meant))) for said, meant in table.items()}
