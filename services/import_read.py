"""From files to neutral entries: what each file is (by its content), and the reader that fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from services.import_csv import read_csv
from services.import_csv import table_of as csv_table
from services.import_csv_rows import read_header
from services.import_entries import Entry, Ignored, Reject
from services.import_fhir import ReadingRules, read_fhir_document, read_fhir_lines
from services.import_json import BOM, JsonRefused, read_json
from services.import_sources import LINE_MAX, FileRefused, SourceFile
from services.import_synthea_csv import read_synthea_csv
from services.import_synthea_csv import table_of as synthea_table

FORMATS = ("auto", "fhir", "synthea-csv", "csv")
LINES_NAME = re.compile(r"\.(?:ndjson|jsonl)(?:\.gz)?$", re.IGNORECASE)
JSON_NAME = re.compile(r"\.json(?:\.gz)?$", re.IGNORECASE)
BLANK_LINES_MAX = 100  # before the first line that says something
# A file of garbage must not fill the database with one refusal a line.
REJECTS_MAX = 100_000

Item = Entry | Reject | Ignored
Reader = Callable[[IO[bytes]], Iterator[Item]]
Progress = Callable[[int, int | None], None]


class Detected(NamedTuple):
    """The format of one file and how to read it."""

    format: str
    read: Reader


def read_file(file: SourceFile, wanted: str, rules: ReadingRules) -> Iterator[Item]:
    """Every entry of ``file``, and a refusal for every one that cannot be read. Never raises for what is in it.

    ``wanted`` is one of FORMATS.
    """
    refused = taken = 0
    line = 1
    kinds: dict[str, int] = {}
    try:
        detected = _detect(file, rules)
        if wanted not in ("auto", detected.format):
            raise FileRefused(f"is {detected.format}, and {wanted} was asked for")
        with file.stream() as stream:
            for item in detected.read(stream):
                if isinstance(item, Ignored):
                    kinds[item.type] = kinds.get(item.type, 0) + 1
                elif isinstance(item, Reject):
                    refused += 1
                    line = item.line
                else:
                    taken += 1
                    line = item.place.line
                yield item
                if refused >= REJECTS_MAX:
                    raise FileRefused(f"more than {REJECTS_MAX} entries were refused; the rest was not read")
    except FileRefused as reason:
        yield Reject(file.name, line, "", str(reason))
        return
    if not taken and not refused:
        held = ", ".join(sorted(kinds)[:5]) or "no entries"
        yield Reject(file.name, 1, "", f"nothing to import: it holds {held}")


def _detect(file: SourceFile, rules: ReadingRules) -> Detected:
    with file.stream() as stream:
        heads = (stream.readline(LINE_MAX + 1) for _ in range(BLANK_LINES_MAX))
        first = next((line for line in heads if line.removeprefix(BOM).strip()), b"")
    if not first:
        raise FileRefused("is empty")
    if LINES_NAME.search(file.name):
        _refuse_other_json(first)
        return Detected("fhir", lambda stream: read_fhir_lines(stream, file.name, rules))
    if JSON_NAME.search(file.name) or first.removeprefix(BOM).lstrip()[:1] in (b"{", b"["):
        if _is_whole(first):
            return Detected("fhir", lambda stream: read_fhir_lines(stream, file.name, rules))
        return Detected("fhir", lambda stream: read_fhir_document(stream, file.name, rules))
    return _detect_csv(file, read_header(first), rules)


def _detect_csv(file: SourceFile, header: list[str], rules: ReadingRules) -> Detected:
    if table := csv_table(header):
        own = table
        return Detected("csv", lambda stream: read_csv(stream, file.name, header, own, rules))
    if table := synthea_table(header, file.name):
        theirs = table
        return Detected("synthea-csv", lambda stream: read_synthea_csv(stream, file.name, header, theirs, rules))
    raise FileRefused("is neither FHIR (JSON, NDJSON) nor CSV with columns that are known; see the import guide")


def _is_whole(line: bytes) -> bool:
    """Whether the first line is a JSON value by itself, so that the next lines are values too."""
    try:
        read_json(line)
    except JsonRefused:
        return False
    return True


def _refuse_other_json(line: bytes) -> None:
    """One refusal for a whole file of some other kind, instead of one for each of its lines."""
    try:
        value = read_json(line)
    except JsonRefused:
        return
    if isinstance(value, dict) and "resourceType" not in value:
        raise FileRefused("is JSON, but not FHIR: its first line has no resourceType")
