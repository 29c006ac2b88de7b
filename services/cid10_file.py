"""DATASUS's two files of the CID-10, read whole and checked row by row before any of it counts.

Their format: one row a line, ``;`` between and after the cells, ISO-8859-1, a row of names first. RESTRSEXO is F or M,
or empty for both; CAUSAOBITO is N for what is unlikely to cause a death; CLASSIF is + or *; REFER names the other half
of such a pair, EXCLUIDOS former codes that are now part of this one.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.cid10 import DESCRIPTION_MAX
from services.cid10_codes import canonical

CATEGORIES, SUBCATEGORIES = "CID-10-CATEGORIAS.CSV", "CID-10-SUBCATEGORIAS.CSV"
COLUMNS = {
    CATEGORIES: ("CAT", "CLASSIF", "DESCRICAO", "DESCRABREV", "REFER", "EXCLUIDOS"),
    SUBCATEGORIES: (
        "SUBCAT", "CLASSIF", "RESTRSEXO", "CAUSAOBITO", "DESCRICAO", "DESCRABREV", "REFER", "EXCLUIDOS",
    ),
}  # fmt: skip
CODES = {CATEGORIES: re.compile(r"[A-Z]\d{2}"), SUBCATEGORIES: re.compile(r"[A-Z]\d{2}\d?")}
ALLOWED = {"CLASSIF": ("", "+", "*"), "RESTRSEXO": ("", "F", "M"), "CAUSAOBITO": ("", "N")}
LONGEST = {"DESCRICAO": DESCRIPTION_MAX, "DESCRABREV": 100, "REFER": 200, "EXCLUIDOS": 200}
SEXES = {"F": "FEMALE", "M": "MALE"}
FILE_MAX = 16 << 20  # bytes; the real ones have 1.2 MB
# Rows of the release of 2008, DATASUS's last one; and the share from which on a table is meant to be that one.
WHOLE = {CATEGORIES: 2045, SUBCATEGORIES: 12_451}
NEARLY = 0.9
SHOWN = 10  # flaws that are spelled out; more are counted
LINE_MAX = 2000  # characters; the longest real one has some 400
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\N{REPLACEMENT CHARACTER}]")
END_OF_FILE = b"\x1a"  # which DOS programs put there


@dataclass(frozen=True, slots=True)
class Table:
    """What both files say. ``rows``: columns of ``cid10_codes`` but for the release, one row a code."""

    rows: tuple[dict[str, Any], ...]
    categories: int
    subcategories: int
    sha256: bytes

    @property
    def other_counts(self) -> str | None:
        """How many rows it has where these are not as many as DATASUS gives: inside a category nothing else tells that
        a row is missing."""
        rows = {CATEGORIES: self.categories, SUBCATEGORIES: self.subcategories}
        if rows == WHOLE:
            return None
        return " and ".join(f"{name} has {rows[name]} rows, not {WHOLE[name]}" for name in WHOLE)

    @property
    def is_nearly_whole(self) -> bool:
        """Whether it is DATASUS's but for some rows, and no part of it that somebody chose."""
        return self.other_counts is not None and self.subcategories >= NEARLY * WHOLE[SUBCATEGORIES]


@dataclass(frozen=True, slots=True)
class Flaw:
    """One place that is wrong: the file, with its line where it has one, and why."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


class TableRefused(Exception):
    """The files are no table that could be put in force. One line names the first flaws, and counts the others."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        more = [f"and {len(flaws) - SHOWN} more"] if len(flaws) > SHOWN else []
        super().__init__("; ".join([*map(str, flaws[:SHOWN]), *more]) + ". Nothing was changed.")
        self.flaws = tuple(flaws)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    code: str
    cells: dict[str, str]


def read_table(folder: Path) -> Table:
    """The table in ``folder``. Raises TableRefused, OSError."""
    flaws: list[Flaw] = []
    files = {name: _read(folder, name) for name in COLUMNS}
    rows = {name: list(_rows(name, content, flaws)) for name, content in files.items()}
    if not flaws:
        _check_whole(rows[CATEGORIES], rows[SUBCATEGORIES], flaws)
    if flaws:
        raise TableRefused(flaws)
    return Table(
        rows=tuple(_codes(rows[CATEGORIES], rows[SUBCATEGORIES])),
        categories=len(rows[CATEGORIES]),
        subcategories=len(rows[SUBCATEGORIES]),
        sha256=hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in files.values())).digest(),
    )


def _read(folder: Path, name: str) -> bytes:
    """The file, whatever the case of its name. Raises TableRefused, OSError."""
    found = [path for path in sorted(folder.iterdir()) if path.name.upper() == name]
    if len(found) != 1:
        raise TableRefused([Flaw(name, f"{'not' if not found else 'more than once'} in {folder}")])
    if found[0].stat().st_size > FILE_MAX:
        raise TableRefused([Flaw(name, f"larger than {FILE_MAX >> 20} MiB: not the file that DATASUS gives")])
    return found[0].read_bytes()


def _decoded(name: str, content: bytes) -> str:
    """Text of ISO-8859-1, read as the WHATWG Encoding standard reads that label: windows-1252, which adds dashes and
    quotation marks where ISO-8859-1 has control characters. Raises TableRefused."""
    content = content.rstrip(END_OF_FILE)
    try:
        is_utf8 = not content.isascii() and bool(content.decode("utf-8"))
    except UnicodeDecodeError:
        is_utf8 = False
    if is_utf8 or content.startswith(b"\xff\xfe"):
        raise TableRefused([Flaw(name, "not ISO-8859-1: bring the file as DATASUS gives it, not saved anew")])
    return content.decode("windows-1252", errors="replace")


def _rows(name: str, content: bytes, flaws: list[Flaw]) -> Iterator[_Row]:
    """The rows that are right; of each other one, what is wrong goes to ``flaws``."""
    columns = COLUMNS[name]
    lines = _decoded(name, content).replace("\r\n", "\n").split("\n")
    if tuple(cell.strip().upper() for cell in _cells(lines[0], len(columns))) != columns:
        raise TableRefused([Flaw(f"{name}, line 1", f"must name the columns {';'.join(columns)};")])
    seen: set[str] = set()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        cells = _cells(line, len(columns))
        reason = _wrong(name, cells) or ("this code stands in an earlier line too" if cells[0] in seen else None)
        if reason is not None:
            flaws.append(Flaw(f"{name}, line {number}", reason))
            continue
        seen.add(cells[0])
        yield _Row(number, cells[0], dict(zip(columns, cells, strict=True)))
    if not seen and not flaws:
        flaws.append(Flaw(name, "has no rows"))


def _cells(line: str, wanted: int) -> list[str]:
    """The line's cells, without the empty one behind the last ``;``."""
    if len(line) > LINE_MAX:
        return []
    cells = [cell.strip() for cell in next(csv.reader([line], delimiter=";"), [])]
    return cells[:-1] if len(cells) == wanted + 1 and not cells[-1] else cells


def _wrong(name: str, cells: list[str]) -> str | None:
    """Why the row can't be taken; None when it can."""
    columns = COLUMNS[name]
    if len(cells) != len(columns):
        return f"{len(cells)} cells instead of {len(columns)}: the line is cut, or has a ; too many"
    if not CODES[name].fullmatch(cells[0]):
        return f"{columns[0]} is no code such as {'A00' if name == CATEGORIES else 'A000 or B24'}"
    for column, cell in zip(columns[1:], cells[1:], strict=True):
        reason = _wrong_cell(column, cell)
        if reason is not None:
            return f"{column} {reason}"
    return None


def _wrong_cell(column: str, cell: str) -> str | None:
    if column in ALLOWED and cell not in ALLOWED[column]:
        return f"must be {' or '.join(ALLOWED[column][1:])}, or empty"
    if len(cell) > LONGEST.get(column, len(cell)):
        return f"is longer than {LONGEST[column]} characters"
    if NO_TEXT.search(cell):
        return "has a character that is no text: the file is damaged"
    return "is empty" if column == "DESCRICAO" and not cell else None


def _check_whole(categories: list[_Row], subcategories: list[_Row], flaws: list[Flaw]) -> None:
    """Half a table is no table: each file tells where the other one was cut between two lines, or lost some. A category
    that is not subdivided stands among the subcategories itself."""
    known = {row.code for row in categories}
    flaws += [
        Flaw(f"{SUBCATEGORIES}, line {row.line}", f"its category {row.code[:3]} is not in {CATEGORIES}")
        for row in subcategories
        if row.code[:3] not in known
    ]
    told = {row.code[:3] for row in subcategories}
    flaws += [
        Flaw(f"{CATEGORIES}, line {row.line}", f"{row.code} has no row in {SUBCATEGORIES}, which is cut or has a hole")
        for row in categories
        if row.code not in told
    ]


def _codes(categories: list[_Row], subcategories: list[_Row]) -> Iterator[dict[str, Any]]:
    """A category without subcategories is in both files, and its row among the subcategories says more."""
    named = {row.code for row in subcategories}
    subdivided = {code[:3] for code in named if len(code) > 3}
    for row in (*subcategories, *(each for each in categories if each.code not in named)):
        cells = row.cells
        yield {
            "code": canonical(row.code),
            "category": row.code[:3],
            "is_subdivided": row.code in subdivided,
            "description": cells["DESCRICAO"],
            "short_description": cells["DESCRABREV"] or None,
            "sex": SEXES.get(cells.get("RESTRSEXO", "")),
            "causes_death": cells.get("CAUSAOBITO") != "N",
            "classification": cells["CLASSIF"] or None,
            "refers_to": cells["REFER"] or None,
            "replaces": cells["EXCLUIDOS"] or None,
        }
