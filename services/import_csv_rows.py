"""CSV files row by row: strict UTF-8, strict quoting, every row with its line, a bad row refused by itself."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO, NamedTuple

from services.import_entries import Reject
from services.import_json import BOM, UNSTORABLE
from services.import_rules import PLACEHOLDER
from services.import_sources import lines

COLUMNS_MAX = 200
# A spreadsheet runs a cell that begins so; exports put an apostrophe before it (OWASP, CSV injection).
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


class Row(NamedTuple):
    """One row: the line it began on, and its cells by column. An empty cell is an empty string."""

    line: int
    cells: dict[str, str]


def read_header(first_line: bytes) -> list[str]:
    """The column names in a file's first line; [] when it is no CSV header."""
    try:
        text = first_line.removeprefix(BOM).decode("utf-8")
        names = next(csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return []
    names = [name.strip() for name in names]
    is_header = 1 < len(names) <= COLUMNS_MAX and all(names) and len(set(names)) == len(names)
    return names if is_header else []


def read_rows(stream: IO[bytes], name: str, header: list[str]) -> Iterator[Row | Reject]:
    """The rows below the header, which ``stream`` still has in front."""
    reader = csv.reader(_texts(stream), strict=True)
    is_header = True
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            is_header = False
            last = reader.line_num
            yield Reject(name, first, "", f"{_described(error)}; lines {first} to {last} were not taken")
            continue
        if is_header or not cells:
            is_header = False
            continue
        reason = _refusal(cells, header)
        yield Reject(name, first, "", reason) if reason else Row(first, dict(zip(header, cells, strict=True)))


def escaped(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; ``unescaped`` gives it back."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") else cell


def first_placeholder(row: Row) -> str | None:
    """The column of a cell that is a template's gap, such as ``{{nome}}``."""
    return next((column for column, cell in row.cells.items() if PLACEHOLDER.fullmatch(cell)), None)


def _texts(stream: IO[bytes]) -> Iterator[str]:
    for number, data in lines(stream):
        if data is None:
            # Longer than any row may be: an unclosed quote makes the reader refuse it as one.
            yield '"\n'
        else:
            yield (data.removeprefix(BOM) if number == 1 else data).decode("utf-8", "surrogateescape")


def _refusal(cells: list[str], header: list[str]) -> str | None:
    if len(cells) != len(header):
        return f"has {len(cells)} cells where the header names {len(header)} columns"
    for column, cell in zip(header, cells, strict=True):
        if UNSTORABLE.search(cell):
            return f"column {column} is not valid UTF-8, or has a NUL character"
    return None


def _described(error: csv.Error) -> str:
    message = str(error)
    if "field limit" in message or "end of data" in message:
        return "a quoted cell is never closed, or is longer than 131,072 characters"
    return "the quoting is not that of CSV"
