"""Entries between reading and writing: put together by patient, whatever file and order they came in.

A file of its own in SIGILO_HOME, unlinked as soon as it is open, so that neither a crash nor ``kill -9``
leaves a patient's data behind; what fits into 64 MiB never reaches the disk at all.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.import_entries import (
    Entry,
    Finding,
    ImportedAllergy,
    ImportedEncounter,
    ImportedPatient,
    ImportedRecord,
    Key,
    Place,
    Reject,
)
from services.import_rules import EntryRefused, checked_cid10, joined, kind_of, priority_of, within

CACHE_KIB = 64 * 1024
# Rows of one patient that are written in one transaction; a patient who has more gets several.
UNIT_MAX = 5_000

SCHEMA = """
CREATE TABLE patient (seq INTEGER PRIMARY KEY, source TEXT, id TEXT, body BLOB, UNIQUE (source, id));
CREATE TABLE record (seq INTEGER PRIMARY KEY, source TEXT, id TEXT, p_source TEXT, p_id TEXT, body BLOB,
    UNIQUE (source, id));
CREATE TABLE allergy (seq INTEGER PRIMARY KEY, source TEXT, id TEXT, p_source TEXT, p_id TEXT, body BLOB,
    UNIQUE (source, id));
CREATE TABLE finding (seq INTEGER PRIMARY KEY, source TEXT, id TEXT, p_source TEXT, p_id TEXT,
    e_source TEXT, e_id TEXT, body BLOB, UNIQUE (source, id));
CREATE TABLE reject (seq INTEGER PRIMARY KEY, file TEXT, line INTEGER, pointer TEXT, reason TEXT);
"""
INDEXES = """
CREATE INDEX record_patient ON record (p_source, p_id);
CREATE INDEX allergy_patient ON allergy (p_source, p_id);
CREATE INDEX finding_encounter ON finding (e_source, e_id);
"""
TABLES: dict[type, str] = {
    ImportedPatient: "patient", ImportedRecord: "record", ImportedEncounter: "record",
    ImportedAllergy: "allergy", Finding: "finding",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """What is written together: a patient (None: one that must be in the database) and what is theirs."""

    patient_key: Key
    patient: ImportedPatient | None
    allergies: tuple[ImportedAllergy, ...]
    records: tuple[ImportedRecord, ...]
    rejects: tuple[Reject, ...]

    @property
    def size(self) -> int:
        return (self.patient is not None) + len(self.allergies) + len(self.records) + len(self.rejects)


class Spool:
    """Filled by ``add`` and ``reject``, closed to more by ``seal``, then read by ``rejects`` and ``units``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.duplicates = 0
        self.ignored: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        """Keep an entry. The same one again counts as a duplicate; its id with other content is refused."""
        table = TABLES[type(entry)]
        columns: dict[str, Any] = {"source": entry.key.source, "id": entry.key.id}
        if not isinstance(entry, ImportedPatient):
            columns |= {"p_source": entry.patient.source, "p_id": entry.patient.id}
        if isinstance(entry, Finding):
            columns |= {"e_source": entry.encounter.source, "e_id": entry.encounter.id}
        columns["body"] = pickle.dumps(entry, pickle.HIGHEST_PROTOCOL)
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        cursor = self._connection.execute(
            f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(columns.values())
        )
        if cursor.rowcount:
            return
        (body,) = self._connection.execute(
            f"SELECT body FROM {table} WHERE source = ? AND id = ?", entry.key
        ).fetchone()
        first = _opened(body)
        if replace(first, place=entry.place) == entry:
            self.duplicates += 1
        else:
            where = f"{first.place.file}, line {first.place.line}"
            self.reject(_refusal(entry.place, f"its id is already that of another, different entry ({where})"))

    def reject(self, reject: Reject) -> None:
        self._connection.execute(
            "INSERT INTO reject (file, line, pointer, reason) VALUES (?, ?, ?, ?)",
            (reject.file, reject.line, reject.pointer, reject.reason),
        )

    def seal(self) -> None:
        """All is read: index it, and refuse diagnoses and treatments whose encounter did not come."""
        self._connection.executescript(INDEXES)
        homeless = self._connection.execute(
            "SELECT f.body, r.seq IS NULL FROM finding f LEFT JOIN record r ON r.source = f.e_source AND r.id = f.e_id "
            "WHERE r.seq IS NULL OR r.p_source <> f.p_source OR r.p_id <> f.p_id ORDER BY f.seq"
        )
        for body, is_missing in homeless:
            if is_missing:
                reason = "its encounter is not in this import, or was refused; import both together"
            else:
                reason = "its encounter is that of another patient"
            self.reject(_refusal(_opened(body).place, reason))

    def total(self) -> int:
        """Entries that will be written or refused: patients, records, allergies and refusals."""
        counts = (self._count(table) for table in ("patient", "record", "allergy", "reject"))
        return sum(counts)

    def rejects(self, after: int) -> Iterator[tuple[int, Reject]]:
        """Refusals of the reading with their numbers, from the one behind number ``after`` on."""
        rows = self._connection.execute(
            "SELECT seq, file, line, pointer, reason FROM reject WHERE seq > ? ORDER BY seq", (after,)
        )
        return ((row[0], Reject(*row[1:])) for row in rows)

    def units(self) -> Iterator[Unit]:
        """Every patient with what is theirs, in the order of the files; at the end what has no patient here."""
        for (body,) in self._connection.execute("SELECT body FROM patient ORDER BY seq"):
            patient = _opened(body)
            yield from self._unit(patient.key, patient)
        strangers = self._connection.execute(
            "SELECT p_source, p_id FROM (SELECT p_source, p_id, seq FROM record UNION ALL "
            "SELECT p_source, p_id, seq FROM allergy) AS o "
            "WHERE NOT EXISTS (SELECT 1 FROM patient p WHERE p.source = o.p_source AND p.id = o.p_id) "
            "GROUP BY p_source, p_id ORDER BY min(seq), p_source, p_id"
        )
        for source, identifier in strangers:
            yield from self._unit(Key(source, identifier), None)

    def _unit(self, key: Key, patient: ImportedPatient | None) -> Iterator[Unit]:
        allergies = tuple(
            _opened(body)
            for (body,) in self._connection.execute(
                "SELECT body FROM allergy WHERE p_source = ? AND p_id = ? ORDER BY seq", key
            )
        )
        last = 0
        while True:
            rows = self._connection.execute(
                "SELECT seq, body FROM record WHERE p_source = ? AND p_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (*key, last, UNIT_MAX),
            ).fetchall()
            if not rows and patient is None and not allergies:
                return
            records, rejects = self._assembled(key, rows)
            yield Unit(key, patient, allergies, records, rejects)
            if len(rows) < UNIT_MAX:
                return
            patient, allergies, last = None, (), rows[-1][0]

    def _assembled(
        self, key: Key, rows: list[tuple[int, bytes]]
    ) -> tuple[tuple[ImportedRecord, ...], tuple[Reject, ...]]:
        findings: dict[Key, list[Finding]] = {}
        if rows:
            for (body,) in self._connection.execute(
                "SELECT f.body FROM record r JOIN finding f ON f.e_source = r.source AND f.e_id = r.id "
                "AND f.p_source = r.p_source AND f.p_id = r.p_id "
                "WHERE r.p_source = ? AND r.p_id = ? AND r.seq BETWEEN ? AND ? ORDER BY f.seq",
                (*key, rows[0][0], rows[-1][0]),
            ):
                finding = _opened(body)
                findings.setdefault(finding.encounter, []).append(finding)
        records, rejects = [], []
        for _, body in rows:
            entry = _opened(body)
            try:
                is_encounter = isinstance(entry, ImportedEncounter)
                records.append(assemble(entry, findings.get(entry.key, [])) if is_encounter else entry)
            except EntryRefused as refused:
                rejects.append(_refusal(entry.place, refused.reason))
        records.sort(key=lambda record: record.amends is not None)  # what is amended comes first
        return tuple(records), tuple(rejects)

    def _count(self, table: str) -> int:
        (count,) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


def assemble(encounter: ImportedEncounter, findings: list[Finding]) -> ImportedRecord:
    """A record of an encounter and what points to it, by the mapping of the sample data.

    The diagnosis is the text of every Condition, else the encounter's own reason; the treatment that of every
    prescription. Raises EntryRefused when that becomes too long.
    """
    diagnoses = [finding for finding in findings if finding.is_diagnosis]
    diagnosis = joined([finding.text for finding in diagnoses]) or encounter.reason
    treatment = encounter.treatment or joined([finding.text for finding in findings if not finding.is_diagnosis])
    kind = encounter.kind or kind_of(encounter.encounter_class, encounter.title)
    if (kind == "ADDENDUM") != (encounter.amends is not None):
        raise EntryRefused("an addendum names the record it amends, and nothing else does")
    return ImportedRecord(
        place=encounter.place,
        key=encounter.key,
        patient=encounter.patient,
        occurred_at=encounter.occurred_at,
        title=encounter.title,
        kind=kind,
        priority=encounter.priority or priority_of(encounter.encounter_class, encounter.title, diagnosis),
        diagnosis=within("diagnosis", diagnosis),
        treatment=within("treatment", treatment),
        notes=encounter.notes,
        cid10_codes=_codes(diagnoses),
        restricted=encounter.restricted,
        amends=encounter.amends,
        is_assembled=True,
    )


def _codes(diagnoses: list[Finding]) -> tuple[str, ...]:
    """The codes of all diagnoses, in order; what two of them share stands once."""
    if len(diagnoses) == 1:
        return diagnoses[0].cid10_codes
    return checked_cid10(list(dict.fromkeys(code for finding in diagnoses for code in finding.cid10_codes)), "")


@contextmanager
def open_spool(home: Path) -> Iterator[Spool]:
    """A spool in ``home`` (SIGILO_HOME) that is gone when the process is."""
    folder = home / "imports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(dir=folder, prefix="spool-")  # 0600
    os.close(descriptor)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # EXCLUSIVE keeps the one handle open, and no journal is ever looked for beside a file that is gone.
        connection.executescript(
            f"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; "
            f"PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB}; {SCHEMA} BEGIN"
        )
        os.unlink(path)
        yield Spool(connection)
    finally:
        connection.close()
        Path(path).unlink(missing_ok=True)


def _opened(body: bytes) -> Any:
    return pickle.loads(body)  # noqa: S301  (written a moment ago by ``add``, into a file nobody else can open)


def _refusal(place: Place, reason: str) -> Reject:
    return Reject(place.file, place.line, place.pointer, reason)
