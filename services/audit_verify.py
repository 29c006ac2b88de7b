"""Recompute the trail's chain and say what was edited, deleted, moved or put in.

The trail is streamed in the order of its sequence through a server-side cursor, so memory stays constant. An
event is *proven* when its hash follows from the one before and its own content. Checking goes on behind a
break, from the hash that is stored there, so that every bad event is named and not the first alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from config import Principal, Settings
from integrations.storage import FolderStorage
from models.connection import connect
from services.audit_chain import TEXT_SETTINGS
from services.audit_chain_check import ChainCheck, SealedEvent, sealed_event
from services.audit_checkpoint import signer_of, trusted_keys
from services.audit_file import TRAIL, begin, events, opened
from services.audit_report import Problem, Progress, Report, missing
from services.audit_signed import GivenNotes, SignedStatements, notes_in
from services.audit_start import HOLD, proven_start
from services.errors import Invalid
from services.read_ahead import read_ahead
from services.signed_note import VerifierKey

FETCH = 2_000  # rows a round trip

CHECKPOINTS = "SELECT sequence, hash, note FROM audit_checkpoints ORDER BY sequence"


def verify(
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    keys: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Verify the installation's trail as the auditor role, which may only read.

    ``checkpoint`` names a file with a checkpoint kept elsewhere, or a folder of them; ``keys`` are verifier keys to
    trust, by default the one of AUDIT_SIGNING_KEY and those of AUDIT_FORMER_KEYS. Raises Invalid when a key or the file
    can't be used at all.
    """
    trusted = trusted_keys(keys) or signer_of(settings).trusted
    notes = notes_in(checkpoint)
    with connect(settings.url_for(Principal.AUDITOR)) as connection:
        archives = FolderStorage(settings.archive_folder)
        return verify_trail(connection, trusted, notes=notes, archives=archives, progress=progress)


def verify_trail(
    connection: psycopg.Connection[TupleRow],
    keys: Sequence[VerifierKey],
    *,
    notes: GivenNotes = GivenNotes(),  # noqa: B008  (it is frozen)
    archives: FolderStorage | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify the trail that ``connection`` (not in autocommit) sees, in one read-only snapshot.

    ``notes`` are checkpoints kept elsewhere. The checkpoints in the database are checked too, but prove less: whoever
    can rewrite the trail can delete them. ``archives``: where the files of what left the database should lie.
    """
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    connection.execute(HOLD)
    connection.execute(TEXT_SETTINGS)
    report = Report()
    start, wrong = proven_start(connection, keys, archives)
    for text in wrong:
        report.add(Problem("archive", start.sequence + 1, text))
    report.archived = start.sequence
    with _streamed(connection, "stored", CHECKPOINTS) as stored, _streamed(connection, "trail", TRAIL) as trail:
        total = connection.execute("SELECT max(sequence) FROM audit_trail").fetchone() if progress else None
        sealed = ((sealed_event(row[:-1]), row[-1]) for row in trail)
        signed = SignedStatements(report, keys, notes, stored, archived=start.sequence)
        check, started = ChainCheck(report, start), time.monotonic()
        _take(sealed, check, signed, report, progress, total[0] if total else None)
        _finish(check, signed, report, started)
    connection.rollback()
    return report


def verify_files(
    paths: Sequence[Path],
    keys: Sequence[str],
    *,
    checkpoint: Path | None = None,
    identity: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify exported trails (``services/audit_file.py``), one after the other where there are several, with nothing
    but public ``keys`` and in constant memory. ``identity``: the age identity that opens encrypted ones.

    Without a ``checkpoint`` it says whether the events hold together, and anchors none. Raises Invalid when a file is
    no export or breaks off, and when a key, the identity or the checkpoint can't be used.
    """
    notes = notes_in(checkpoint)
    if checkpoint is not None and not keys:
        raise Invalid("Name the key that signed the checkpoint: --key, as `sigilo audit key` prints it.")
    report = Report()
    check: ChainCheck | None = None
    signed = None
    started = time.monotonic()
    for path in paths:
        with opened(path, identity) as file:
            start = begin(file)
            if check is None or signed is None:
                report.archived = start.sequence
                if start.tree is None:
                    report.add(missing(1, start.sequence, "by where the file begins"))
                check = ChainCheck(report, start)
                signed = SignedStatements(report, trusted_keys(keys), notes, (), archived=start.sequence)
            _take(events(file, check), check, signed, report, progress, None)
    if check is not None and signed is not None:
        _finish(check, signed, report, started)
    return report


def _take(
    sealed: Iterable[tuple[SealedEvent, bytes]],
    check: ChainCheck,
    signed: SignedStatements,
    report: Report,
    progress: Progress | None,
    total: int | None,
) -> None:
    """Take every event, with its stored hash, and meet what was signed about it."""
    if check.sequence >= signed.next:  # what was signed of the last event that is archived
        signed.meet(check)
    for event, stored in sealed:
        check.add(event, stored)
        if check.sequence >= signed.next:
            signed.meet(check)
        if progress is not None and report.events % FETCH == 0:
            progress(report.events, total)


def _finish(check: ChainCheck, signed: SignedStatements, report: Report, started: float) -> None:
    check.finish()
    signed.finish()
    report.seconds = time.monotonic() - started


@contextmanager
def _streamed(connection: psycopg.Connection[TupleRow], name: str, statement: str) -> Iterator[Iterable[Any]]:
    with connection.cursor(name) as cursor:
        cursor.itersize = FETCH
        cursor.execute(statement)
        yield read_ahead(cursor)
